/** @file Every kernel that a model, a format of the cache or of weights and a device can lead to compiles. No GPU takes part. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { formatWgsl } from "../src/cli/kernels/format-wgsl.ts";
import { type DescribedFeatures, kernelCodes } from "../src/cli/kernels/kernel-texts.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { families } from "../src/models/registry.ts";
import type { LayerCalibration } from "../src/quant/calibration.ts";
import { parseKvSpec } from "../src/quant/parse-kv-spec.ts";
import type { WeightType } from "../src/weights/registry.ts";
import { weightTypes } from "../src/weights/registry.ts";
import { EIGHT_BITS, FORMATS, MORE_FORMATS } from "./contract/kv-cases.ts";
import { randomCalibration } from "./support/calibration.ts";
import { type NullDevice, openNullDevice } from "./support/null-device.ts";
import { isThorough } from "./support/optional.ts";

/** With everything and with nothing, and between them what changes texts. */
const DEVICES: readonly DescribedFeatures[] = [
  { f16: true, subgroupSize: 32, matrices: true },
  { f16: true, subgroupSize: 64, matrices: false },
  { f16: false, subgroupSize: 16, matrices: false },
  { f16: true, subgroupSize: 0, matrices: false },
  { f16: false, subgroupSize: 0, matrices: false },
];

interface Shape {
  readonly headDim?: number;
  readonly numHeads?: number;
  readonly numKvHeads?: number;
  readonly slidingWindow?: number;
  /** Default: qwen3. */
  readonly modelType?: string;
}

/** Fields that configs of some families have to say, or say in other sizes. */
const OWN_FIELDS: Readonly<Record<string, object>> = {
  nemotron_h: { layers_block_type: ["attention"] },
  mamba2: { head_dim: 2 },
  longcat_flash: { num_hidden_layers: 2 },
  zamba2: { layers_block_type: ["hybrid"] },
  deepseek_v4: { o_groups: 1 },
  minimax_m3_vl_text: { layer_types: ["minimax_m3_sparse"], index_n_heads: 1 },
  gemma3n_text: { num_kv_shared_layers: 0, activation_sparsity_pattern: [0.9] },
};

/** Families that this backend refuses by name. */
const NOT_HERE = ["deepseek_v4"];

/** One layer, with norms of its heads. */
const configOf = ({ headDim = 64, numHeads = 2, numKvHeads = 1, modelType = "qwen3" }: Shape) =>
  parseModelConfig(
    {
      model_type: modelType,
      hidden_size: 128,
      num_hidden_layers: 1,
      num_attention_heads: numHeads,
      num_key_value_heads: numKvHeads,
      head_dim: headDim,
      intermediate_size: 224,
      // Some families have no sizes of experts for a config that leaves them out.
      num_experts: 8,
      num_experts_per_tok: 2,
      moe_intermediate_size: 32,
      ...OWN_FIELDS[modelType],
      vocab_size: 1000,
      rms_norm_eps: 1e-6,
      rope_theta: 1e6,
      max_position_embeddings: 4096,
      tie_word_embeddings: true,
    },
    "test",
  );

const calibrations = new Map<string, LayerCalibration>();
function calibrationOf(numKvHeads: number, headDim: number): LayerCalibration {
  const key = `${numKvHeads} ${headDim}`;
  if (!calibrations.has(key)) calibrations.set(key, randomCalibration(numKvHeads, headDim));
  return calibrations.get(key)!;
}

let compiler: NullDevice;
beforeAll(async () => {
  compiler = await openNullDevice();
});
afterAll(() => compiler.dispose());

/**
 * What runs with TQ_THOROUGH=1 alone is all of it on all devices. By default each format of the cache meets matrices, both devices without subgroups, and one
 * of the two whose subgroups have other sizes; each family, whose blocks read no format, the first device and the last.
 */
const SHARING = [1, 2];
const meetsFormat = (device: number, at: number): boolean =>
  isThorough || !SHARING.includes(device) || device === SHARING[at % SHARING.length];
const meetsFamilies = (device: number): boolean => isThorough || device === 0 || device === DEVICES.length - 1;

/** Texts that have been compiled: many are those of several devices. */
const seen = new Set<string>();

describe.each(DEVICES)("f16 $f16, subgroups of $subgroupSize, matrices $matrices", (features) => {
  const device = DEVICES.indexOf(features);

  async function expectCompiles(shape: Shape & { kv: string; calibrated?: boolean }, weights: WeightType) {
    const { kv, headDim = 64, numKvHeads = 1 } = shape;
    // The text knows whether there are maps; those of long heads take seconds to make.
    const calibrated = shape.calibrated && headDim <= 80;
    const kernels = await kernelCodes({
      config: configOf(shape),
      kv: parseKvSpec(kv),
      calibration: [calibrated ? calibrationOf(numKvHeads, headDim) : null],
      storedType: () => weights,
      weights: "auto",
      features,
      contextLength: 4096,
    });
    expect(kernels.length).toBeGreaterThan(5);
    for (const { label, code } of kernels) {
      if (seen.has(code)) continue;
      seen.add(code);
      // As it is printed, with its lines in order.
      expect(await compiler.compile(formatWgsl(code)), label).toEqual([]);
    }
  }

  it("every format of the cache, by shape", async () => {
    const shapes = [
      ...[...FORMATS, ...MORE_FORMATS, ...EIGHT_BITS.slice(0, 3)],
      ...[1, 2, 3, 4, 5, 6, 7, 8].map((bits) => ({ kv: `k${bits}v${9 - bits}` })),
    ];
    for (const shape of shapes.filter((_, at) => meetsFormat(device, at))) await expectCompiles(shape, "bf16");
  });

  async function expectFamilies(): Promise<void> {
    for (const { modelType } of families) {
      const compiling = expectCompiles({ kv: "k4v4", modelType }, "bf16");
      if (NOT_HERE.includes(modelType))
        await expect(compiling, modelType).rejects.toMatchObject({ code: "unsupported" });
      else await compiling;
    }
  }
  if (meetsFamilies(device)) it("every family", expectFamilies);

  it("every format of weights", async () => {
    for (const weights of weightTypes()) await expectCompiles({ kv: "k4v4" }, weights);
  });
});

it("the worth of blocks is computed where an indexer chooses blocks, and nowhere else", async () => {
  const labelsOf = async (modelType: string) => {
    const kernels = await kernelCodes({
      ...{ config: configOf({ modelType }), kv: parseKvSpec("k4v4"), calibration: [null] },
      ...{ storedType: () => "bf16", weights: "auto", features: DEVICES[0]!, contextLength: 4096 },
    });
    return kernels.map(({ label }) => label);
  };
  expect(await labelsOf("minimax_m3_vl_text")).toContain("worth of blocks");
  const ofTokens = await labelsOf("deepseek_v32");
  expect(ofTokens).toContain("digits of scores");
  expect(ofTokens).not.toContain("worth of blocks");
});

it("a text that is wrong does not compile", async () => {
  const [message] = await compiler.compile("fn f() -> u32 { return 1.5; }");
  expect(message).toMatch(/^1: /);
});
