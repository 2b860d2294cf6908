/** @file Ropes that depend on the length of a sequence: its own length counts, whatever ran before, and for a prompt in chunks the whole one. */
import { describe, expect, it } from "vitest";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { Runner } from "../src/engine/runner.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { Decoder } from "../src/models/decoder.ts";
import { RandomCheckpoint } from "../src/models/random-weights.ts";
import { parseKvSpec } from "../src/quant/parse-kv-spec.ts";

const json = {
  model_type: "phi3",
  hidden_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  intermediate_size: 32,
  vocab_size: 40,
  max_position_embeddings: 64,
  original_max_position_embeddings: 16,
  rope_scaling: { type: "longrope", short_factor: Array(8).fill(1), long_factor: Array(8).fill(7) },
};
/** Its length of training is max_position_embeddings. */
const dynamic = { ...json, max_position_embeddings: 16, rope_scaling: { type: "dynamic", factor: 8 } };
const tokens = (count: number): Int32Array => Int32Array.from({ length: count }, (_, i) => (i * 7) % 40);

describe.each([
  ["LongRoPE", json],
  ["dynamic NTK", dynamic],
])("%s", (_name, model) => {
  const config = parseModelConfig(model, "config.json");
  const runnerOf = async (chunkTokens: number): Promise<Runner> => {
    const checkpoint = new RandomCheckpoint(model, "random");
    const options = { config, kv: parseKvSpec("f32"), weights: "f32" } as const;
    const decoder = await Decoder.load(createReferenceBackend(), checkpoint, options);
    return new Runner(decoder, { contextLength: 64, chunkTokens });
  };
  const logitsOf = async (lengths: readonly number[], chunkTokens = 64): Promise<Float32Array[]> => {
    const runner = await runnerOf(chunkTokens);
    const cache = runner.decoder.createCache();
    const all: Float32Array[] = [];
    for (const length of lengths) all.push(await runner.prefill(cache.createSequence(), tokens(length)));
    return all;
  };

  it("depends on the sequence alone, not on what ran before", async () => {
    const [before, long, after] = await logitsOf([12, 40, 12]);
    expect(after).toEqual(before);
    expect(long).toEqual((await logitsOf([40]))[0]);
  });

  it("a prompt in chunks across the length of training has one rope, that of its whole length", async () => {
    expect(await logitsOf([40], 10)).toEqual(await logitsOf([40]));
  });

  it("tokens behind a prompt have the rope of their own length, and leave those before them", async () => {
    const runner = await runnerOf(64);
    const cache = runner.decoder.createCache();
    const [grown, whole] = [cache.createSequence(), cache.createSequence()];
    await runner.prefill(grown, tokens(16));
    // The keys of the first 16 are those of a short sequence.
    const later = await runner.prefill(grown, tokens(17).subarray(16));
    expect(later).not.toEqual(await runner.prefill(whole, tokens(17)));
  });
});
