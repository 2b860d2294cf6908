/** @file A plan bounds what backends allocate, for every preset with and without a calibration. No GPU takes part. */
import { afterEach, describe, expect, it } from "vitest";
import "../node/install.ts";
import { randomCalibration } from "../../test/support/calibration.ts";
import { countingAdapter } from "../../test/support/counting-adapter.ts";
import { withAdapter } from "../../test/support/fake-adapter.ts";
import type { Ops } from "../backends/ops.ts";
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
import { PLANNED_FORMATS, planMemory } from "./memory-plan.ts";
import { modelOfConfig } from "./planned-model.ts";

/** More bytes of a calibration than a plan has to spare elsewhere. */
const wide = {
  model_type: "qwen2",
  hidden_size: 36,
  num_hidden_layers: 3,
  num_attention_heads: 8,
  num_key_value_heads: 8,
  head_dim: 128,
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
const GB = 1e9;

const load = (ops: Ops) =>
  Decoder.load(ops, new RandomCheckpoint(wide, "wide"), { config, weights: "q8", kv: parseKvSpec("f16") });

interface Bound {
  readonly plan: number;
  readonly allocated: number;
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
  const result = { plan: formats[0]!.totalBytes, allocated: allocated() };
  sequence.release();
  own.dispose();
  return result;
}

describe("a plan bounds what is allocated", () => {
  afterEach(() => setPlatform(nodePlatform));

  it("on wasm", async () => {
    const ops = await createBackend("wasm", { threads: 1 });
    const decoder = await load(ops);
    const kvs = [...PLANNED_FORMATS, "paper-3+qjl,calibration=auto", ...VARIANTS];
    let atRest = 0;
    for (const kv of [...kvs, kvs[0]!]) {
      atRest = ops.usedBytes!;
      for (const layers of [calibration, []]) {
        const { plan, allocated } = await planned(decoder, kv, layers, 64, () => ops.usedBytes!);
        // The bound allows 16 threads; this is one.
        expect(plan - 15 * 2 ** 19, kv).toBeGreaterThan(allocated);
      }
    }
    expect(ops.usedBytes, "a format that was there before takes nothing new").toBe(atRest);
    await ops.dispose();
  });

  it.each([
    ["with f16 matrices", true],
    ["without any feature", false],
  ])("on webgpu, a device %s", async (_, matrices) => {
    const { adapter, bytes } = countingAdapter(matrices);
    withAdapter(adapter);
    const ops = await createBackend("webgpu");
    const decoder = await load(ops);
    // One step as long as the longest, and a shorter one.
    const tokens = 1088;
    for (const kv of [...PLANNED_FORMATS, ...VARIANTS]) {
      // The storage keeps a little of every size of page that it once held, and a plan is of one format.
      const others = ops.pages.numBytes;
      const bound = async (layers: readonly LayerCalibration[]): Promise<Bound> => {
        bytes.most = bytes.now;
        const result = await planned(decoder, kv, layers, tokens, () => bytes.most - others);
        expect(result.plan, kv).toBeGreaterThan(result.allocated);
        return result;
      };
      const plain = await bound([]);
      if (parseKvSpec(kv).calibration === "off") continue;
      const calibrated = await bound(calibration);
      const [counted, added] = [calibrated.plan - plain.plan, calibrated.allocated - plain.allocated];
      expect(added / counted, kv).toBeGreaterThan(0.99);
      expect(added, kv).toBeLessThanOrEqual(counted);
    }
    await ops.dispose();
    expect(bytes.now).toBe(0);
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
