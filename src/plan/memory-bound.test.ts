/** @file A plan bounds what backends allocate, for every preset with and without a calibration. No GPU takes part. */
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it, vi } from "vitest";
import "../node/install.ts";
import { randomCalibration } from "../../test/support/calibration.ts";
import { type CountedBytes, countingAdapter } from "../../test/support/counting-adapter.ts";
import { withAdapter } from "../../test/support/fake-adapter.ts";
import type { Ops } from "../backends/ops.ts";
import { plannedBackend } from "../backends/registry.ts";
import type { WebGpuBackend } from "../backends/webgpu/backend.ts";
import { batchRoom } from "../backends/webgpu/linear/batch-plan.ts";
import { panelRoom } from "../backends/webgpu/linear/panel-plan.ts";
import { CHUNK_TOKENS } from "../backends/webgpu/planner.ts";
import { MAX_RETIRED_BYTES } from "../backends/webgpu/queue/buffer-bytes.ts";
import { KvCache } from "../cache/kv-cache.ts";
import { PagePool } from "../cache/page-pool.ts";
import { createBackend } from "../engine/create-backend.ts";
import { expectPages } from "../engine/expect-pages.ts";
import { WARM_UP_DRAWS } from "../engine/llm.ts";
import { Runner } from "../engine/runner.ts";
import { parseModelConfig } from "../models/config.ts";
import { Decoder } from "../models/decoder.ts";
import { RandomCheckpoint } from "../models/random-weights.ts";
import { nodePlatform } from "../node/platform.ts";
import { setPlatform } from "../platform.ts";
import type { LayerCalibration } from "../quant/calibration.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { PreparedLayer } from "../quant/prepared-layer.ts";
import { addressedBytes } from "./backend-plan.ts";
import { CacheMemory } from "./cache-memory.ts";
import { PLANNED_FORMATS, planMemory, planTogether } from "./memory-plan.ts";
import type { PlannedModel } from "./model-memory.ts";
import { modelOfConfig } from "./planned-model.ts";

const wide = {
  model_type: "qwen2",
  hidden_size: 36,
  num_hidden_layers: 3,
  num_attention_heads: 16,
  num_key_value_heads: 4,
  head_dim: 64,
  intermediate_size: 50,
  vocab_size: 301,
  max_position_embeddings: 4096,
  tie_word_embeddings: false,
};
const config = parseModelConfig(wide, "wide");
const model = modelOfConfig(config, "wide");
const calibration = Array.from({ length: config.numLayers }, (_, layer) =>
  randomCalibration(config.numKvHeads, config.headDim, layer),
);
const VARIANTS = ["k4v4,rotation=qr", "k4v4,feedback=off", "k4v4,layers=0:f16"];
/** Presets whose attention has more and more passes, since memory for its parts stays: by age and for want of memory, beside a window of either width. */
const TIERS = ["tiers=8:128,4:4096,3", "tiers=8:16,4:64,3:512,2", "tiers=16:20,k8v7:64,k5v4:64,k3v2", "auto"];
const GB = 1e9;
/** Of the arrays of a calibration, and the rotation that a calibrated format does without. */
const ALIGNMENT_BYTES = 3 * 8 * 64 + 64 * 64 * 4;

const load = (ops: Ops) =>
  Decoder.load(ops, new RandomCheckpoint(wide, "wide"), { config, weights: "q8", kv: parseKvSpec("f16") });

interface Bound {
  readonly plan: number;
  readonly allocated: number;
}

/** What is planned for products of any device and plan, less what they take here: it would hide that something else takes more. */
function unusedOfProducts({ weights }: PlannedModel, bytes: CountedBytes): number {
  const matrices = weights.filter(({ use }) => use === "matrix");
  return panelRoom(matrices, CHUNK_TOKENS.matrices) + batchRoom(matrices) - bytes.labelled("panels of");
}

/** Bytes of the plan, and what `allocated` says after a prefill of `tokens` as the engine does it. */
async function planned(
  decoder: Decoder,
  kv: string,
  layers: readonly LayerCalibration[],
  tokens: number,
  allocated: () => number,
): Promise<Bound> {
  const own = decoder.withFormat(parseKvSpec(kv), layers);
  const cache = own.createCache();
  const runner = new Runner(own, { contextLength: tokens });
  expectPages(cache, tokens, runner.chunkTokens);
  await runner.warmUp(cache, WARM_UP_DRAWS);
  const sequence = cache.createSequence();
  await runner.prefill(sequence, new Int32Array(tokens - 1).fill(7));
  await runner.step([{ sequence, tokens: [7], logits: "last" }]);
  const { formats } = planMemory(
    { ...model, isCalibrated: layers.length > 0 },
    { memoryBytes: GB, context: tokens, kv: [kv], weights: "q8", backend: own.ops.name },
  );
  const result = { plan: addressedBytes(formats[0]!), allocated: allocated() };
  sequence.release();
  own.dispose();
  return result;
}

/** Without a calibration and with one, whose share is counted as closely as buffers are aligned. most: times what is allocated that the plan may be */
async function checkBound(
  kv: string,
  most: number,
  bound: (layers: readonly LayerCalibration[]) => Promise<Bound>,
): Promise<void> {
  const plain = await bound([]);
  expect(plain.plan, kv).toBeGreaterThan(plain.allocated);
  expect(plain.plan, kv).toBeLessThan(most * plain.allocated);
  if (parseKvSpec(kv).calibration === "off") return;
  const calibrated = await bound(calibration);
  expect(calibrated.plan, kv).toBeGreaterThan(calibrated.allocated);
  const added = calibrated.allocated - plain.allocated;
  expect(Math.abs(calibrated.plan - plain.plan - added), kv).toBeLessThanOrEqual(ALIGNMENT_BYTES);
}

describe("a plan bounds what is allocated", () => {
  afterEach(() => setPlatform(nodePlatform));

  it("on wasm", async () => {
    const ops = await createBackend("wasm", { threads: 1 });
    const decoder = await load(ops);
    const kvs = [...PLANNED_FORMATS, "paper-3+qjl,calibration=auto", ...VARIANTS, ...TIERS];
    let atRest = 0;
    for (const kv of [...kvs, kvs[0]!]) {
      atRest = ops.usedBytes!;
      // The bound allows 16 threads; this is one.
      const allocated = (): number => ops.usedBytes! + 15 * 2 ** 19;
      await checkBound(kv, 1.75, (layers) => planned(decoder, kv, layers, 64, allocated));
    }
    expect(ops.usedBytes, "a format that was there before takes nothing new").toBe(atRest);
    await ops.dispose();
  });

  it.each([
    ["with f16 matrices", true],
    ["without any feature", false],
  ])("on webgpu, a device %s", async (_, matrices) => {
    // One step as long as the longest, and a shorter one. A plan is of any device, and those with matrices take more.
    const tokens = 1088;
    // Windows of tiers have pages as large as those of presets, and what the storage keeps of these would be told from neither.
    for (const kvs of [[...PLANNED_FORMATS, ...VARIANTS], TIERS]) {
      const { adapter, bytes } = countingAdapter(matrices);
      withAdapter(adapter);
      const ops = await createBackend("webgpu");
      const decoder = await load(ops);
      for (const kv of kvs) {
        // The storage keeps a little of every size of page that it once held, and a plan is of one format.
        const others = ops.pages.numBytes;
        await checkBound(kv, matrices ? 1.5 : 6, async (layers) => {
          bytes.most = bytes.now;
          const own = await planned(decoder, kv, layers, tokens, () => bytes.most - others);
          return { ...own, plan: own.plan - unusedOfProducts(model, bytes) };
        });
      }
      await ops.dispose();
      expect(bytes.now).toBe(0);
    }
  });

  // A row of a head has two weights for each of the 32 rows of its chunk and four factors; by channel three values for each channel, and a chunk has one.
  it.each([
    ["a head", "qwen3_5_text", { linear_num_value_heads: 16 }, 1024 * 16 * (2 * 32 + 4)],
    ["a channel", "kimi_linear", { linear_num_heads: 16 }, 1024 * 16 * (2 * 32 + 4 + 3 * 16) + 33 * 16 * 16],
  ])("on webgpu, with delta rules whose decays are those of %s", async (_, name, heads, values) => {
    const path = new URL(`../../test/fixtures/architectures/${name}.json`, import.meta.url);
    const json = { ...(JSON.parse(readFileSync(path, "utf8")) as { config: object }).config, ...heads };
    const parsed = parseModelConfig(json, name);
    const { adapter, bytes } = countingAdapter(true);
    withAdapter(adapter);
    const ops = await createBackend("webgpu");
    const loaded = { config: parsed, weights: "q8", kv: parseKvSpec("f16") } as const;
    const decoder = await Decoder.load(ops, new RandomCheckpoint(json, name), loaded);
    const cache = decoder.createCache();
    await new Runner(decoder, { contextLength: 1024 }).prefill(cache.createSequence(), new Int32Array(1024));
    const own = modelOfConfig(parsed, name);
    const plan = (of: PlannedModel) =>
      addressedBytes(planTogether(of, { kv: ["f16"], weights: "q8", backend: "webgpu" }).at(1024));
    expect(plan(own)).toBeGreaterThan(bytes.most);
    expect(plan(own) - plan({ ...own, deltaRules: [] })).toBe(4 * values);
    await ops.dispose();
  });

  it("on webgpu, of a model without attention", async () => {
    const path = new URL("../../test/fixtures/architectures/mamba2.json", import.meta.url);
    const { config: json } = JSON.parse(readFileSync(path, "utf8")) as { config: object };
    const parsed = parseModelConfig(json, "mamba2");
    const { adapter, bytes } = countingAdapter(true);
    withAdapter(adapter);
    const ops = await createBackend("webgpu");
    const decoder = await Decoder.load(ops, new RandomCheckpoint(json, "mamba2"), {
      ...{ config: parsed, weights: "q8", kv: parseKvSpec("f16") },
    });
    const cache = decoder.createCache();
    await new Runner(decoder, { contextLength: 512 }).prefill(cache.createSequence(), new Int32Array(512));
    const plan = planMemory(modelOfConfig(parsed, "mamba2"), {
      ...{ memoryBytes: GB, context: 512, kv: ["f16"], weights: "q8", backend: "webgpu" },
    });
    expect(addressedBytes(plan.formats[0]!)).toBeGreaterThan(bytes.most);
    await ops.dispose();
  });

  it.each([true, false])("on webgpu, with a token decoded beside a long prompt (matrices: %s)", async (matrices) => {
    const { adapter, bytes } = countingAdapter(matrices);
    withAdapter(adapter);
    const ops = await createBackend("webgpu");
    const decoder = await load(ops);
    const cache = decoder.createCache();
    const runner = new Runner(decoder, { contextLength: 1024 });
    const [first, second] = [cache.createSequence(), cache.createSequence()];
    await runner.prefill(first, new Int32Array(8).fill(7));
    await runner.step([
      { sequence: first, tokens: [7], logits: "last" },
      { sequence: second, tokens: new Int32Array(512).fill(7), logits: "last" },
    ]);
    const { formats } = planMemory(model, {
      ...{ memoryBytes: GB, context: 1024, sequences: 2, kv: ["f16"], weights: "q8", backend: "webgpu" },
    });
    expect(addressedBytes(formats[0]!)).toBeGreaterThan(bytes.most);
    await ops.dispose();
  });

  it.each([
    ["of several prompts, the shortest first", "full_attention", [96, 288, 544], 2],
    ["of layers, the second of which sees more", "sliding_attention", [544], 4],
  ])("on webgpu, with ever more parts of heads in a step: %s", async (_, first, counts, buffers) => {
    const own = {
      ...{ ...wide, num_hidden_layers: 2, num_attention_heads: 64, num_key_value_heads: 2 },
      ...{ use_sliding_window: true, sliding_window: 512, layer_types: [first, "full_attention"] },
      max_position_embeddings: 16_384,
    };
    const parsed = parseModelConfig(own, "wide");
    const { adapter, bytes } = countingAdapter(true);
    withAdapter(adapter);
    const ops = await createBackend("webgpu");
    const kv = parseKvSpec("k4v4");
    const decoder = await Decoder.load(ops, new RandomCheckpoint(own, "wide"), { config: parsed, weights: "q8", kv });
    const context = 8192;
    const cache = decoder.createCache();
    const runner = new Runner(decoder, { contextLength: context });
    expectPages(cache, context, runner.chunkTokens);
    await runner.warmUp(cache, WARM_UP_DRAWS);
    const sequences = counts.map(() => cache.createSequence());
    for (const sequence of sequences) await runner.prefill(sequence, new Int32Array(context - runner.chunkTokens));
    const before = bytes.most;
    bytes.most = bytes.now;
    const made = vi.spyOn((ops as WebGpuBackend).allocator, "allocate");
    await runner.step(
      counts.map((count, i) => ({ sequence: sequences[i]!, tokens: new Int32Array(count), logits: "last" })),
    );
    const shape = modelOfConfig(parsed, "wide");
    const { formats } = planMemory(shape, {
      ...{ memoryBytes: GB, context, sequences: counts.length, kv: [kv.text], weights: "q8", backend: "webgpu" },
    });
    // What is replaced does not stay until the submit, and a layer makes room for the largest of its spans at once.
    expect(bytes.most - bytes.now).toBeLessThanOrEqual(MAX_RETIRED_BYTES);
    expect(made.mock.calls.filter(([, what]) => what === "attention parts")).toHaveLength(buffers);
    expect(addressedBytes(formats[0]!) - unusedOfProducts(shape, bytes)).toBeGreaterThan(Math.max(before, bytes.most));
    await ops.dispose();
  });

  it("on webgpu, of pages that have yielded to memory tier by tier", async () => {
    withAdapter(countingAdapter(false).adapter);
    const ops = await createBackend("webgpu");
    const kv = parseKvSpec("auto");
    const cache = new KvCache(model.layers, (layer) => kv.forLayer(layer), new PagePool(ops.pages));
    // The last page is not full, so it stays.
    const [sequence, tokens, chunk] = [cache.createSequence(), 16_384 - 24, 1024];
    expectPages(cache, tokens, chunk);
    for (let at = 0; at < tokens; at += chunk) {
      const count = Math.min(chunk, tokens - at);
      sequence.reserve(count);
      sequence.commit(count);
    }
    const budget = cache.numBytes;
    for (let tier = 0; tier < 3; tier++) {
      for (const layer of model.layers.keys()) {
        const state = sequence.kv(layer);
        const { first, end } = state.coarsenable(tier, 0);
        for (let page = first; page < end; page++) state.coarsen(tier, () => {}, new Map());
      }
    }
    expect(cache.numBytes).toBeLessThan(budget / 3);
    const planned = new CacheMemory(model, kv);
    const { planner } = plannedBackend("webgpu");
    expect(planned.bytes(tokens)).toBe(cache.numBytes);
    expect(planned.held(tokens, 1, chunk, planner, budget).bytes).toBeGreaterThanOrEqual(ops.pages.numBytes);
    // The room of what has yielded is most of it.
    expect(planned.held(tokens, 1, chunk, { ...planner, keepsRoom: false }).bytes).toBeLessThan(ops.pages.numBytes / 2);
    await ops.dispose();
  });

  it("with several formats side by side", async () => {
    const kv = ["k4v4", "f16", "k2v2"];
    const { adapter, bytes } = countingAdapter(true);
    withAdapter(adapter);
    for (const backend of ["wasm", "webgpu"]) {
      const ops = await createBackend(backend, backend === "wasm" ? { threads: 1 } : {});
      const decoder = await load(ops);
      for (const spec of kv) {
        const own = decoder.withFormat(parseKvSpec(spec), spec === "f16" ? [] : calibration);
        await new Runner(own, { contextLength: 1024 }).prefill(
          own.createCache().createSequence(),
          new Int32Array(1024),
        );
      }
      const plan = planTogether(model, { kv, weights: "q8", backend }).at(1024);
      const allocated = backend === "wasm" ? ops.usedBytes! + 15 * 2 ** 19 : bytes.most;
      expect(addressedBytes(plan), backend).toBeGreaterThan(allocated);
      const alone = planTogether(model, { kv: kv.slice(0, 1), weights: "q8", backend }).at(1024);
      expect(addressedBytes(alone), backend).toBeLessThan(allocated);
      await ops.dispose();
    }
  });

  it("counts what the process keeps of a calibration, to the byte", () => {
    const bytesIn = (value: unknown): number =>
      ArrayBuffer.isView(value)
        ? value.byteLength
        : Object.values(value ?? {}).reduce((sum, own) => sum + bytesIn(own), 0);
    for (const kv of ["k4v4", "paper-3+qjl,calibration=auto", ...VARIANTS]) {
      const spec = parseKvSpec(kv);
      const kept = calibration.map((own, layer) => {
        const { transforms } = new PreparedLayer(spec.forLayer(layer), config, own);
        return bytesIn(own) + bytesIn(transforms);
      });
      const options = { memoryBytes: GB, kv: [kv] };
      const { hostBytes, totalBytes, freeBytes } = planMemory(model, options).formats[0]!;
      // Besides, the rotation as a matrix of doubles.
      expect(hostBytes - 8 * config.headDim ** 2, kv).toBe(kept.reduce((sum, own) => sum + own, 0));
      const plain = planMemory({ ...model, isCalibrated: false }, options).formats[0]!;
      expect(plain.hostBytes).toBe(0);
      expect(plain.freeBytes - freeBytes).toBe(totalBytes - plain.totalBytes);
    }
  });

  it("counts a calibration that a checkpoint may have", () => {
    const { numLayers, numKvHeads, headDim } = config;
    const bytesOf = (kv: string, isCalibrated?: boolean): number =>
      planMemory({ ...model, ...(isCalibrated !== undefined && { isCalibrated }) }, { memoryBytes: GB, kv: [kv] })
        .formats[0]!.workingBytes;
    // Mean and balance, two maps and one set of factors a side, in f32.
    const most = numLayers * numKvHeads * 4 * (2 * headDim + 2 * (3 * headDim * headDim + headDim));
    expect(bytesOf("k4v4") - bytesOf("k4v4", false)).toBe(most);
    expect(bytesOf("k4v4", true)).toBe(bytesOf("k4v4"));
    expect(bytesOf("k4v4,calibration=off")).toBe(bytesOf("k4v4", false));
    expect(bytesOf("k4v4,calibration=other.safetensors", false)).toBe(bytesOf("k4v4"));
  });
});
