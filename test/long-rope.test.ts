/** @file Ropes that depend on the length of a sequence: its own length counts, whatever ran before, and for a prompt in chunks the whole one. */
import { describe, expect, it } from "vitest";
import "../src/node/install.ts";
import type { Ops } from "../src/backends/ops.ts";
import { createReferenceBackend } from "../src/backends/reference/backend.ts";
import { createWasmBackend } from "../src/backends/wasm/backend.ts";
import { Runner } from "../src/engine/runner.ts";
import { compareOnTokens, emptyRecord } from "../src/eval/compare.ts";
import { answers } from "../src/eval/needle.ts";
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
  const runnerOf = async (chunkTokens: number, ops: Ops = createReferenceBackend()): Promise<Runner> => {
    const checkpoint = new RandomCheckpoint(model, "random");
    const options = { config, kv: parseKvSpec("f32"), weights: "f32" } as const;
    const decoder = await Decoder.load(ops, checkpoint, options);
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

  it("sequences of a step have each the rope of its own length", async () => {
    for (const ops of [createReferenceBackend(), await createWasmBackend({ threads: 1 })]) {
      const runner = await runnerOf(64, ops);
      const cache = runner.decoder.createCache();
      const lengths = [12, 40, 30, 15];
      const alone: number[] = [];
      for (const length of lengths) alone.push(...(await runner.prefill(cache.createSequence(), tokens(length))));
      const works = lengths.map((length) => ({ sequence: cache.createSequence(), tokens: tokens(length) }));
      const together = await runner.step(works.map((work) => ({ ...work, logits: "last" })));
      for (const [i, logit] of together.entries()) expect(logit).toBeCloseTo(alone[i]!, 5);
      expect(works.map(({ sequence }) => sequence.ropeLength === 0)).toEqual([true, false, false, true]);
      // And so when they decode: the last one leaves its length of training, the first does not.
      const next = works.map(({ sequence }) => ({ sequence: sequence.fork(), tokens: [3, 4].slice(0, 1) }));
      const single: number[] = [];
      for (const { sequence } of next) single.push(...(await runner.step([{ sequence, tokens: [3], logits: "last" }])));
      const all = await runner.step(works.map(({ sequence }) => ({ sequence, tokens: [3], logits: "last" })));
      for (const [i, logit] of all.entries()) expect(logit).toBeCloseTo(single[i]!, 5);
      await ops.dispose();
    }
  });

  it("evaluation in pieces has the ropes of the whole text, and questions those of their prompts", async () => {
    const [whole, pieces] = [await runnerOf(64), await runnerOf(10)];
    const records = [whole, pieces].map(emptyRecord);
    for (const [i, runner] of [whole, pieces].entries())
      await compareOnTokens(tokens(40), { runner, cache: runner.decoder.createCache() }, records[i]!, [], []);
    expect(records[1]!.nlls).toEqual(records[0]!.nlls);
    const contender = { runner: pieces, cache: pieces.decoder.createCache() };
    const sequence = contender.cache.createSequence();
    const needle = { prompt: [...tokens(17)], answer: [1] };
    await answers(contender, sequence, needle);
    expect(sequence.ropeLength).toBe(17);
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
