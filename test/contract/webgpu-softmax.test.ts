/** @file Soft caps and learned logits of attention against the WebGPU backend, with all that the device has and without subgroups. */
import { describe } from "vitest";
import { GPU_TIMEOUT_MS, gpuSkip } from "../support/gpu.ts";
import { isThorough } from "../support/optional.ts";
import { decodeContract, kvContract } from "./kv.ts";
import { DECODE_SOFTMAX, FEW_SOFTMAX, SOFTMAX } from "./softmax-cases.ts";
import { webGpuTarget } from "./webgpu-target.ts";

describe.skipIf(gpuSkip)(`webgpu softmax${gpuSkip ? ` (${gpuSkip})` : ""}`, { timeout: GPU_TIMEOUT_MS }, () => {
  describe("with all that the device has", () => {
    kvContract(webGpuTarget(), { softmax: isThorough ? SOFTMAX : FEW_SOFTMAX });
  });
  describe("without subgroups and f16", () => {
    decodeContract(webGpuTarget({ without: ["subgroups", "f16"] }), DECODE_SOFTMAX);
  });
});
