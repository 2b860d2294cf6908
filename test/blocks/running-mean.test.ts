/** @file A block of one's own with a state of its own: one folder, one line, and everything that sequences can do. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import type { KvCache } from "../../src/cache/kv-cache.ts";
import type { Sequence } from "../../src/cache/sequence.ts";
import { restoreSequence, saveSequence } from "../../src/cache/snapshot.ts";
import { Runner } from "../../src/engine/runner.ts";
import { pageHashes } from "../../src/engine/scheduler/page-hashes.ts";
import { PrefixCache } from "../../src/engine/scheduler/prefix-cache.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { Decoder } from "../../src/models/decoder.ts";
import { layoutOf, tensorSpecs } from "../../src/models/layout.ts";
import { RandomCheckpoint } from "../../src/models/random-weights.ts";
import { registerFamily } from "../../src/models/registry.ts";
import { CacheMemory } from "../../src/plan/cache-memory.ts";
import { modelOfConfig } from "../../src/plan/planned-model.ts";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";
import { runningMeanFamily } from "./running-mean/family.ts";

registerFamily(runningMeanFamily);

const json = {
  model_type: "running_mean",
  hidden_size: 32,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 16,
  intermediate_size: 48,
  vocab_size: 97,
  max_position_embeddings: 1024,
};
const config = parseModelConfig(json, "config.json");
const KV = "k4v4,sinks=2,window=24";
const IDENTITY = { fingerprint: "f", kvSpec: KV };
const text = Int32Array.from({ length: 300 }, (_, i) => (i * 37 + ((i * i) % 11)) % 97);

let decoder: Decoder;
let cache: KvCache;
let runner: Runner;
beforeAll(async () => {
  decoder = await Decoder.load(createReferenceBackend(), new RandomCheckpoint(json, "running mean"), {
    config,
    kv: parseKvSpec(KV),
    weights: "auto",
  });
  cache = decoder.createCache();
  runner = new Runner(decoder, { contextLength: 1024, chunkTokens: 128 });
});
afterAll(async () => {
  expect(cache.numBytes, "every page was given back").toBe(0);
  decoder.dispose();
  await decoder.ops.dispose();
});

/** Logits after `text[0..length)`, read at once. */
async function logitsAfter(length: number): Promise<Float32Array> {
  const sequence = cache.createSequence();
  const logits = await runner.prefill(sequence, text.subarray(0, length));
  sequence.release();
  return logits;
}

async function read(sequence: Sequence, from: number, to: number): Promise<Float32Array> {
  return runner.prefill(sequence, text.subarray(from, to));
}

describe("a running mean as a layer's state", () => {
  it("names its tensors to loading, checks and plan", () => {
    expect(tensorSpecs(layoutOf(config)).get("model.layers.2.mean.gain.weight")).toEqual({
      name: "model.layers.2.mean.gain.weight",
      shape: [32],
    });
    const planned = modelOfConfig(config, "running-mean");
    expect(planned.layers).toHaveLength(1);
    expect(planned.weights.some(({ tensors }) => tensors[0]!.name === "model.layers.0.mean.gain.weight")).toBe(true);
  });

  it("takes the bytes that the plan says", async () => {
    const planned = new CacheMemory(modelOfConfig(config, "running-mean"), parseKvSpec(KV));
    const sequence = cache.createSequence();
    for (const [from, to] of [
      [0, 40],
      [40, 170],
      [170, 171],
    ] as const) {
      await read(sequence, from, to);
      expect(sequence.numBytes).toBe(planned.bytes(to));
      expect(cache.numBytes).toBe(sequence.numBytes);
    }
    sequence.release();
  });

  it("gives the same logits in one go, in chunks and token by token, alone and in a batch", async () => {
    const expected = await logitsAfter(150);
    const [chunks, single, other] = [cache.createSequence(), cache.createSequence(), cache.createSequence()];
    await read(chunks, 0, 7);
    await read(chunks, 7, 100);
    expect(await read(chunks, 100, 150)).toEqual(expected);
    await read(single, 0, 148);
    await read(other, 0, 77);
    for (let i = 148; i < 150; i++) {
      const logits = await runner.step([
        { sequence: other, tokens: text.subarray(i, i + 1), logits: "last" },
        { sequence: single, tokens: text.subarray(i, i + 1), logits: "last" },
      ]);
      if (i === 149) expect(logits.subarray(97)).toEqual(expected);
    }
    for (const sequence of [chunks, single, other]) sequence.release();
  });

  it("forks", async () => {
    const first = cache.createSequence();
    await read(first, 0, 100);
    const fork = first.fork();
    await runner.prefill(first, [1, 2, 3]);
    expect(await read(fork, 100, 150)).toEqual(await logitsAfter(150));
    first.release();
    fork.release();
  });

  it("drops steps ahead without a trace", async () => {
    const sequence = cache.createSequence();
    await read(sequence, 0, 100);
    const bytes = cache.numBytes;
    sequence.reserve(3);
    sequence.dropReserved();
    expect(cache.numBytes).toBe(bytes);
    expect(await read(sequence, 100, 101)).toEqual(await logitsAfter(101));
    sequence.release();
  });

  it("cuts back to a mark, and says when it must go further", async () => {
    const sequence = cache.createSequence();
    const markAt = sequence.markable(149);
    expect(markAt).toBe(128);
    await runner.prefill(sequence, text.subarray(0, 150), { markAt });
    await runner.prefill(sequence, [5, 6, 7, 8]);
    expect(sequence.keepable(149)).toBe(128);
    expect(sequence.cutTo(149)).toBe(128);
    expect(await read(sequence, 128, 150)).toEqual(await logitsAfter(150));
    expect(sequence.cutTo(100), "nothing was marked before").toBe(0);
    expect(await read(sequence, 0, 150)).toEqual(await logitsAfter(150));
    sequence.release();
  });

  it("saves and restores", async () => {
    const sequence = cache.createSequence();
    await read(sequence, 0, 100);
    const file = await saveSequence(sequence, IDENTITY);
    sequence.release();
    const restored = restoreSequence(cache, file, IDENTITY).sequence;
    expect(await read(restored, 100, 150)).toEqual(await logitsAfter(150));
    restored.release();
    const damaged = file.slice();
    damaged[60] = damaged[60]! ^ 1;
    expect(() => restoreSequence(cache, damaged, IDENTITY)).toThrow("checksum");
  });

  it("shares prefixes at the ends of pages", async () => {
    const prefixes = new PrefixCache();
    const sequence = cache.createSequence();
    const tokens = [...text.subarray(0, 200)];
    const hashes = pageHashes(tokens);
    await runner.step([
      {
        sequence,
        tokens,
        logits: "last",
        onPageEnd: (own) => prefixes.addPageEnd(own, hashes[own.length / 64 - 1]!, own.length < 192),
      },
    ]);
    sequence.release();
    const found = prefixes.find(tokens, hashes, 1)!;
    expect(found.length).toBe(192);
    const fork = found.sequence.fork();
    expect(await read(fork, 192, 200)).toEqual(await logitsAfter(200));
    fork.release();
    prefixes.clear();
  });
});
