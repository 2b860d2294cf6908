/** @file A WebGPU device as a target of the contract. */
import {
  createWebGpuBackend,
  type WebGpuBackend,
  type WebGpuBackendOptions,
} from "../../src/backends/webgpu/backend.ts";
import type { KvCase } from "../support/kv-case.ts";
import { tolerance } from "../tolerances.ts";
import type { Target } from "./target.ts";

export interface WebGpuTarget extends Target {
  /** The one that was opened last. */
  readonly gpu: () => WebGpuBackend;
}

export function webGpuTarget(options: WebGpuBackendOptions = {}): WebGpuTarget {
  let gpu: WebGpuBackend;
  return {
    open: async () => {
      gpu = await createWebGpuBackend(options);
      return gpu;
    },
    gpu: () => gpu,
    // In f16 scores are rounded by more where they are larger.
    sharpness: () => (gpu.context.features.f16 ? 1 : 2),
    limits: {
      pages: () => (gpu.context.isSoftware ? 0 : tolerance.pageBytes.max),
      query: () => tolerance.elementwise.max,
      output: () => (gpu.context.features.f16 ? tolerance.attentionHalf : tolerance.attentionGpu).max,
      linear: () => tolerance.linearFloat.max,
    },
  };
}

/** WGSL lets a device take numbers below 2⁻¹²⁶ for zero, as the squares of very small values are. */
export const withoutSubnormals = (c: KvCase): KvCase => (c.awkward ? { ...c, tiny: 1e-15 } : c);
