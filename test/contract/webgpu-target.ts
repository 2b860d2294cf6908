/** @file A WebGPU device as a target of the contract. */
import type { DecodeTuning } from "../../src/backends/webgpu/attention/decode-attention.ts";
import { WebGpuBackend, type WebGpuBackendOptions } from "../../src/backends/webgpu/backend.ts";
import type { GpuContext } from "../../src/backends/webgpu/device/context.ts";
import { type OpenOptions, openDevice } from "../../src/backends/webgpu/device/open-device.ts";
import type { KvCase } from "../support/kv-case.ts";
import { linearLimit } from "../support/webgpu-linear.ts";
import { tolerance } from "../tolerances.ts";
import type { Target } from "./target.ts";

export interface WebGpuTarget extends Target {
  /** The one that was opened last. */
  readonly gpu: () => WebGpuBackend;
}

interface TargetOptions extends WebGpuBackendOptions {
  /** Takes the kernels of a GPU also where a CPU computes them, for which the backend would choose others. */
  readonly asHardware?: boolean;
  /** Settings of decode attention in the place of the rule's. */
  readonly tuning?: DecodeTuning;
}

/** The contract runs with indices clamped, as in browsers; other tests without, as for users in Node. See src/node/gpu.ts for what either sees. */
async function openClamped(options: OpenOptions): Promise<GpuContext> {
  const before = process.env["TQ_GPU_CLAMPS"];
  process.env["TQ_GPU_CLAMPS"] = "1";
  try {
    return await openDevice(options);
  } finally {
    if (before === undefined) delete process.env["TQ_GPU_CLAMPS"];
    else process.env["TQ_GPU_CLAMPS"] = before;
  }
}

export function webGpuTarget({ asHardware, tuning, ...options }: TargetOptions = {}): WebGpuTarget {
  let gpu: WebGpuBackend;
  return {
    open: async () => {
      const context = await openClamped(options);
      gpu = new WebGpuBackend(asHardware ? Object.assign(context, { isSoftware: false }) : context);
      if (tuning) gpu.plans.trial = { decode: tuning };
      return gpu;
    },
    gpu: () => gpu,
    flushesSubnormals: true,
    // In f16 scores are rounded by more where they are larger.
    sharpness: () => (gpu.context.features.f16 ? 1 : 2),
    limits: {
      pages: () => (gpu.context.isSoftware ? 0 : tolerance.pageBytes.max),
      query: () => tolerance.elementwise.max,
      output: () => (gpu.context.features.f16 ? tolerance.attentionHalf : tolerance.attentionGpu).max,
      linear: (type, rows) => linearLimit(gpu.context, type, rows),
      elementwise: () => tolerance.elementwise.max,
      activation: () => tolerance.activation.max,
      deltaRule: () => tolerance.deltaRule.max,
    },
  };
}

/** WGSL lets a device take numbers below 2⁻¹²⁶ for zero, as the squares of very small values are. */
export const withoutSubnormals = (c: KvCase): KvCase => (c.awkward ? { ...c, tiny: 1e-15 } : c);
