/** @file LongRoPE has other frequencies beyond the length of training: a short sequence gets its own again after a long one. */
import { expect, it } from "vitest";
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
const tokens = (count: number): Int32Array => Int32Array.from({ length: count }, (_, i) => (i * 7) % 40);

it("depends on the sequence alone, not on what ran before", async () => {
  const config = parseModelConfig(json, "config.json");
  const checkpoint = new RandomCheckpoint(json, "random");
  const logitsOf = async (lengths: readonly number[]): Promise<Float32Array[]> => {
    const decoder = await Decoder.load(createReferenceBackend(), checkpoint, {
      config,
      kv: parseKvSpec("f32"),
      weights: "f32",
    });
    const runner = new Runner(decoder, { contextLength: 64 });
    const cache = decoder.createCache();
    const all: Float32Array[] = [];
    for (const length of lengths) all.push(await runner.prefill(cache.createSequence(), tokens(length)));
    return all;
  };
  const [before, long, after] = await logitsOf([12, 40, 12]);
  expect(after).toEqual(before);
  expect(long).toEqual((await logitsOf([40]))[0]);
});
