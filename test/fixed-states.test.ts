/** @file Models whose layers keep states of fixed size: everything that sequences can do gives what a sequence read at once gives. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { createWasmBackend } from "../src/backends/wasm/backend.ts";
import type { KvCache } from "../src/cache/kv-cache.ts";
import { reorderBeams } from "../src/cache/reorder-beams.ts";
import type { Sequence } from "../src/cache/sequence.ts";
import { restoreSequence, saveSequence } from "../src/cache/snapshot.ts";
import { Runner } from "../src/engine/runner.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { Decoder } from "../src/models/decoder.ts";
import { RandomCheckpoint } from "../src/models/random-weights.ts";
import { CacheMemory } from "../src/plan/cache-memory.ts";
import { fixedStateBytes } from "../src/plan/model-memory.ts";
import { modelOfConfig } from "../src/plan/planned-model.ts";
import { parseKvSpec } from "../src/quant/parse-kv-spec.ts";
import { relativeError } from "./support/wasm-backend.ts";

const sizes = {
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  intermediate_size: 96,
  vocab_size: 101,
  max_position_embeddings: 1024,
  tie_word_embeddings: true,
};
/** Bytes of all states: of two taps before a token, and of three and the matrices of four heads of 20 and 12. */
const MODELS = [
  ["lfm2", { ...sizes, model_type: "lfm2", layer_types: ["conv", "full_attention"] }, 4 * 2 * 64],
  [
    "qwen3_5_text",
    {
      ...{ ...sizes, model_type: "qwen3_5_text", layer_types: ["linear_attention", "full_attention"] },
      ...{ linear_num_key_heads: 2, linear_num_value_heads: 4, linear_key_head_dim: 20, linear_value_head_dim: 12 },
    },
    4 * (3 * (2 * 2 * 20 + 4 * 12) + 4 * 20 * 12),
  ],
] as const;
const KV = "k8v8,sinks=2,window=24";
const IDENTITY = { fingerprint: "f", kvSpec: KV };
const text = Int32Array.from({ length: 300 }, (_, i) => (i * 37 + ((i * i) % 11)) % 101);

describe.each(MODELS)("%s", (_name, json, stateBytes) => {
  const config = parseModelConfig(json, "config.json");
  let decoder: Decoder;
  let cache: KvCache;
  let runner: Runner;
  let expected: Float32Array;
  const read = (sequence: Sequence, from: number, to: number) => runner.prefill(sequence, text.subarray(from, to));
  const isClose = (actual: Float32Array): void => expect(relativeError(actual, expected)).toBeLessThan(1e-3);

  beforeAll(async () => {
    decoder = await Decoder.load(await createWasmBackend({ threads: 2 }), new RandomCheckpoint(json, "states"), {
      ...{ config, kv: parseKvSpec(KV), weights: "auto" },
    });
    cache = decoder.createCache();
    runner = new Runner(decoder, { contextLength: 1024, chunkTokens: 128 });
    const sequence = cache.createSequence();
    expected = await read(sequence, 0, 150);
    sequence.release();
  });
  afterAll(async () => {
    expect(cache.numBytes, "every page was given back").toBe(0);
    decoder.dispose();
    await decoder.ops.dispose();
  });

  it("takes the bytes that the plan says, between steps", async () => {
    const planned = modelOfConfig(config, "states");
    expect(fixedStateBytes(planned)).toBe(stateBytes);
    const memory = new CacheMemory(planned, parseKvSpec(KV));
    const sequence = cache.createSequence();
    for (const to of [40, 128, 170, 171]) {
      await read(sequence, sequence.length, to);
      expect(sequence.numBytes).toBe(memory.bytes(to));
    }
    sequence.release();
  });

  it("reads in pieces, and decodes beside others of other lengths", async () => {
    const [one, other] = [cache.createSequence(), cache.createSequence()];
    await read(one, 0, 7);
    await read(one, 7, 148);
    await read(other, 0, 77);
    for (let i = 148; i < 150; i++) {
      const token = text.subarray(i, i + 1);
      const logits = await runner.step([
        { sequence: other, tokens: token, logits: "last" },
        { sequence: one, tokens: token, logits: "last" },
      ]);
      if (i === 149) isClose(logits.subarray(101));
    }
    one.release();
    other.release();
  });

  it("forks for beams, and drops steps ahead", async () => {
    const first = cache.createSequence();
    await read(first, 0, 140);
    first.reserve(2);
    // A fork does not share pages that are yet to be written.
    const beams = reorderBeams([first], [0, 0]);
    for (const beam of beams) beam.dropReserved();
    await runner.prefill(beams[1]!, [1, 2, 3]);
    isClose(await read(beams[0]!, 140, 150));
    for (const beam of beams) beam.release();
  });

  it("is cut to the mark or page end that it kept, and says so", async () => {
    const sequence = cache.createSequence();
    await runner.prefill(sequence, text.subarray(0, 150), { markAt: sequence.markable(149) });
    await runner.prefill(sequence, [5, 6, 7]);
    expect(sequence.cutTo(149)).toBe(128);
    isClose(await read(sequence, 128, 150));
    expect(sequence.cutTo(100)).toBe(0);
    isClose(await read(sequence, 0, 150));
    sequence.release();
  });

  it("saves the bytes of its states and goes on from them", async () => {
    const sequence = cache.createSequence();
    await read(sequence, 0, 100);
    const file = await saveSequence(sequence, IDENTITY);
    const restored = restoreSequence(cache, file, IDENTITY).sequence;
    expect(await saveSequence(restored, IDENTITY)).toEqual(file);
    expect(await read(restored, 100, 150)).toEqual(await read(sequence, 100, 150));
    sequence.release();
    restored.release();
  });
});
