/** @file A model in several memories gives the bits that it gives in one: logits, pages, snapshots, forks and cuts. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { createWasmBackend } from "../src/backends/wasm/backend.ts";
import type { KvCache } from "../src/cache/kv-cache.ts";
import { restoreSequence, saveSequence } from "../src/cache/snapshot.ts";
import { Runner } from "../src/engine/runner.ts";
import { collect, LLM } from "../src/index.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { Decoder } from "../src/models/decoder.ts";
import type { Placement } from "../src/models/placement.ts";
import { RandomCheckpoint } from "../src/models/random-weights.ts";
import { copiedBytes } from "../src/plan/placement.ts";
import { modelOfConfig } from "../src/plan/planned-model.ts";
import { weightMemory } from "../src/plan/weight-memory.ts";
import { parseKvSpec } from "../src/quant/parse-kv-spec.ts";
import type { WeightType } from "../src/weights/registry.ts";
import { randomCalibration } from "./support/calibration.ts";
import { seededCheckpoint, seededModel } from "./support/seeded-checkpoint.ts";

const untied = {
  model_type: "mistral",
  hidden_size: 64,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 32,
  intermediate_size: 96,
  vocab_size: 301,
  max_position_embeddings: 1024,
  tie_word_embeddings: false,
  // Pages behind it are released.
  sliding_window: 150,
};
const tied = { ...untied, model_type: "qwen3", tie_word_embeddings: true, sliding_window: null };
/** Several residual streams and inputs of layers go from memory to memory. */
const streams = {
  ...tied,
  model_type: "gemma3n_text",
  altup_num_inputs: 3,
  laurel_rank: 8,
  hidden_size_per_layer_input: 8,
  vocab_size_per_layer_input: 301,
  num_kv_shared_layers: 0,
};
const PLACEMENTS: readonly (readonly [string, typeof untied | typeof tied, WeightType, Placement])[] = [
  ["two halves", untied, "q8", { layers: [0, 0, 1, 1], head: 1 }],
  ["two halves, tied", tied, "q4", { layers: [0, 0, 1, 1], head: 0 }],
  ["three, tied, the embedding alone", tied, "bf16", { layers: [1, 1, 1, 2], head: 0 }],
  ["one each", untied, "q4", { layers: [1, 2, 3, 4], head: 5 }],
  ["two halves, several streams", streams, "f32", { layers: [0, 0, 1, 1], head: 0 }],
  ["the head alone", untied, "q8", { layers: [0, 0, 0, 0], head: 1 }],
];
const IDENTITY = { fingerprint: "0", kvSpec: "" };
const tokens = Int32Array.from({ length: 400 }, (_, i) => (i * 97 + 13) % 301);

const hashOf = (values: Uint8Array | Float32Array): string => createHash("sha1").update(values).digest("hex");

/** Everything that is compared, of one decoder in one cache format: numbers, and hashes of arrays. */
async function results(decoder: Decoder): Promise<(number | string)[]> {
  const cache: KvCache = decoder.createCache();
  const runner = new Runner(decoder, { contextLength: 1024, chunkTokens: 128 });
  const seen: (number | string)[] = [];
  const sequence = cache.createSequence();
  await runner.prefill(sequence, tokens.subarray(0, 200), {
    logits: "all",
    markAt: 200,
    onLogits: (logits) => seen.push(hashOf(logits)),
  });
  const fork = sequence.fork();
  // Two sequences decode side by side after a fork in the middle of a page, with different tokens.
  for (let i = 0; i < 3; i++) {
    const [one, other] = [tokens[300 + i]!, tokens[350 + i]!];
    const logits = await runner.step([
      { sequence, tokens: [one], logits: "last" },
      { sequence: fork, tokens: [other, one], logits: "last" },
    ]);
    seen.push(hashOf(logits));
  }
  const snapshot = await saveSequence(fork, IDENTITY);
  seen.push(hashOf(snapshot), cache.numBytes, cache.pool.numPages);
  fork.release();
  seen.push(sequence.cutTo(200), hashOf(await runner.prefill(sequence, tokens.subarray(200, 260))));
  const { sequence: restored } = restoreSequence(cache, snapshot, IDENTITY);
  seen.push(hashOf(await runner.step([{ sequence: restored, tokens: [7], logits: "last" }])));
  // Rows as the head reads them, beside one with logits.
  const works = [
    { sequence, tokens: [8], logits: "last" },
    { sequence: restored, tokens: [9, 10], logits: "all", isHidden: true },
  ] as const;
  await runner.run(works, async (logits, step) => {
    seen.push(hashOf(await decoder.ops.readback(logits!, decoder.config.vocabSize)));
    const rows = await decoder.readHidden(step);
    expect(rows).toHaveLength(2 * decoder.config.hiddenSize);
    seen.push(hashOf(rows));
  });
  for (const each of [sequence, restored]) each.release();
  expect(cache.numBytes).toBe(0);
  return seen;
}

async function load(threads: number, json: typeof untied | typeof tied, weights: WeightType, placement?: Placement) {
  const config = parseModelConfig(json, "test");
  const ops = await createWasmBackend({ threads });
  return Decoder.load(ops, new RandomCheckpoint(json, "test"), {
    config,
    weights,
    kv: parseKvSpec("f16"),
    ...(placement && { placement }),
  });
}

const FORMATS = [
  "k4v4",
  "f16",
  "k2v2",
  "k3v3,sinks=0,window=0",
  "q8_0",
  "paper-4+qjl",
  "kivi-4",
  "k4v4,layers=0-1:f16",
];
const calibration = Array.from({ length: 4 }, (_, layer) => randomCalibration(2, 32, layer));

describe("a model in several memories", () => {
  const decoders: Decoder[] = [];
  afterAll(() => Promise.all(decoders.map((decoder) => decoder.ops.dispose())));

  let whole: Decoder;
  beforeAll(async () => {
    whole = await load(1, untied, "f32");
    decoders.push(whole);
  });

  it("has the same logits, pages and snapshots in every cache format, on one thread and on two", async () => {
    const cuts = await Promise.all(
      [1, 2].map((threads) => load(threads, untied, "f32", { layers: [0, 1, 1, 2], head: 2 })),
    );
    decoders.push(...cuts);
    for (const [n, kv] of FORMATS.entries()) {
      const of = (decoder: Decoder): Promise<unknown> =>
        results(decoder.withFormat(parseKvSpec(kv), kv.startsWith("k") ? calibration : []));
      const expected = await of(whole);
      for (const cut of n === 0 ? cuts : cuts.slice(n % 2, (n % 2) + 1)) expect(await of(cut), kv).toEqual(expected);
    }
  });

  it.each(PLACEMENTS)("%s", async (_, json, weights, placement) => {
    const [one, several] = [await load(1, json, weights), await load(2, json, weights, placement)];
    decoders.push(one, several);
    const [a, b] = [one, several].map((decoder) => decoder.withFormat(parseKvSpec("k4v4")));
    expect(await results(b!)).toEqual(await results(a!));
    expect(several.weightBytes).toBe(one.weightBytes);
  });
});

it("weights that layers share are in each memory that has such layers, as the plan counts them", async () => {
  const model = seededModel("zamba2");
  const config = parseModelConfig(model.config, "zamba2");
  const { bytes, parts } = weightMemory(modelOfConfig(config, "zamba2", "f32"), "auto", "wasm");
  const numBytes: number[] = [];
  const last = config.numLayers - 1;
  for (const placement of [
    undefined,
    { layers: Array.from({ length: last + 1 }, (_, i) => (i < last ? 0 : 1)), head: 0 },
  ]) {
    const ops = await createWasmBackend({ threads: 1 });
    const options = { config, kv: parseKvSpec("f16"), weights: "auto", ...(placement && { placement }) } as const;
    const decoder = await Decoder.load(ops, seededCheckpoint(model), options);
    numBytes.push(decoder.weightBytes);
    expect(decoder.weightBytes).toBe(bytes + (placement ? copiedBytes(parts, placement) : 0));
    await ops.dispose();
  }
  expect(numBytes[1]).toBeGreaterThan(numBytes[0]!);
});

it("rows that a table of inputs of layers lacks are counted as they are loaded", async () => {
  const model = seededModel("gemma3n_text-sparse");
  const config = parseModelConfig(model.config, "gemma3n");
  const ops = await createWasmBackend({ threads: 1 });
  const decoder = await Decoder.load(ops, seededCheckpoint(model), { config, kv: parseKvSpec("f16"), weights: "auto" });
  expect(decoder.weightBytes).toBe(weightMemory(modelOfConfig(config, "gemma3n", "f32"), "auto", "wasm").bytes);
  await ops.dispose();
});

it("a loaded model lies in as many memories as it needs, and answers, saves and restores as in one", async () => {
  const load = async (memoryLimitBytes?: number): Promise<LLM> => {
    const backend = await createWasmBackend({
      threads: 2,
      ...(memoryLimitBytes !== undefined && { memoryLimitBytes }),
    });
    return LLM.load("qwen3-1m", { backend, weights: "f32", kv: "k4v4", contextLength: 1024 });
  };
  await using one = await load();
  await using three = await load(18e6);
  expect(three.ops.explain!()[0]).toMatch(/in use, in 3 memories of at most/);
  const sessions = [one, three].map((llm) => llm.createSession());
  const say = (session: (typeof sessions)[number], prompt: string) =>
    collect(session.generate(prompt, { maxNewTokens: 12, temperature: 0, ignoreEos: true }));
  const prompt = "Once upon a time there was a little girl. ".repeat(8);
  const [expected, got] = [await say(sessions[0]!, prompt), await say(sessions[1]!, prompt)];
  expect(got.tokens).toEqual(expected.tokens);
  const [a, b] = [await sessions[0]!.save(), await sessions[1]!.save()];
  expect(hashOf(b)).toBe(hashOf(a));
  expect((await say(three.restore(a), " Then")).tokens).toEqual((await say(one.restore(b), " Then")).tokens);
});
