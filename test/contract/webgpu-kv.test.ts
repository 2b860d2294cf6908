/** @file The contract of the KV path against the WebGPU backend, with all that the device has. */
import { describe, expect, it } from "vitest";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";
import { GPU_TIMEOUT_MS, gpuSkip } from "../support/gpu.ts";
import { isThorough } from "../support/optional.ts";
import { APPENDED, FEW_APPENDED } from "./append-cases.ts";
import { choiceContract } from "./chosen.ts";
import { CHOICES, CHOSEN, FEW_CHOSEN } from "./chosen-cases.ts";
import { decodeContract, kvContract } from "./kv.ts";
import {
  BARE,
  BATCHES,
  EIGHT_BITS,
  FEW_EIGHT_BITS,
  FEW_INPUTS,
  FEW_TIERS,
  FORMATS,
  INPUTS,
  LATENTS,
  LENGTHS,
  LONG_LENGTHS,
  MORE_FORMATS,
  MORE_LENGTHS,
  MORE_SLIDING,
  SLIDING,
  SLOW_FORMATS,
  SUMS,
  TIERS,
  WIDTHS,
  WINDOWS,
} from "./kv-cases.ts";
import { CALIBRATED_PAIRS, LONG_CALIBRATED, PAIRS } from "./kv-pairs.ts";
import { webGpuTarget, withoutSubnormals } from "./webgpu-target.ts";

describe.skipIf(gpuSkip)(`webgpu${gpuSkip ? ` (${gpuSkip})` : ""}`, { timeout: GPU_TIMEOUT_MS }, () => {
  const target = webGpuTarget();
  kvContract(target, {
    formats: isThorough ? [...FORMATS, ...MORE_FORMATS] : FORMATS,
    // Each head_dim is another kernel.
    sums: isThorough ? SUMS : SUMS.slice(1, 2),
    widths: isThorough ? WIDTHS : WIDTHS.slice(0, 2),
    latents: LATENTS,
    lengths: isThorough ? [...LENGTHS, ...MORE_LENGTHS, ...LONG_LENGTHS] : LENGTHS,
    "windows and sinks": [...WINDOWS, ...SLIDING, ...(isThorough ? MORE_SLIDING : [])],
    "sinks and window of 8 bits": (isThorough ? EIGHT_BITS : FEW_EIGHT_BITS)
      .filter(({ kv }) => !kv.includes("qjl"))
      .map(withoutSubnormals),
    "tiers of codes": (isThorough ? TIERS : FEW_TIERS).map(withoutSubnormals),
    "several sequences": isThorough ? BATCHES : BATCHES.filter(({ kv, numHeads }) => !numHeads && !kv.endsWith(BARE)),
    inputs: (isThorough ? INPUTS : FEW_INPUTS).map(withoutSubnormals),
    "chosen tokens": isThorough ? CHOSEN : FEW_CHOSEN,
    "what is appended": isThorough ? APPENDED : FEW_APPENDED,
    ...(isThorough
      ? { "two at a time": [...PAIRS, ...CALIBRATED_PAIRS, ...LONG_CALIBRATED].map(withoutSubnormals) }
      : {}),
  });

  decodeContract(target, LONG_LENGTHS);

  it("decodes by subgroups where the device has them", () => {
    const { commands, context } = target.gpu();
    const bySubgroups = commands.kernelLabels.some((label) => label.includes("subgroups"));
    expect(bySubgroups).toBe(context.features.subgroupSize > 0);
  });

  it("what has no kernel is refused with the next step", () => {
    for (const { kv } of SLOW_FORMATS) {
      expect(() => target.gpu().capabilities.checkKv?.(parseKvSpec(kv).forLayer(0)), kv).toThrow(/--backend wasm/);
    }
  });

  // It opens a device of its own, so what asks for the kernels of the cases above comes before it.
  choiceContract(target, isThorough ? CHOICES : CHOICES.slice(0, 9));
});
