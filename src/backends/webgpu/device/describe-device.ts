/** @file Describes a device, and what the kernels use of it. */
import { canHandOver } from "../attention/decode-attention.ts";
import type { GpuContext } from "./context.ts";

function usedFeatures({ features }: GpuContext): string[] {
  return [
    features.f16 && "f16",
    features.subgroups && (features.subgroupSize > 0 ? `subgroups of ${features.subgroupSize}` : "subgroups"),
    features.matrices && "matrices",
  ].filter((name) => name !== false);
}

const mebibytes = (bytes: number): string =>
  `${(bytes / 2 ** 20).toLocaleString("en-US", { maximumFractionDigits: 1 })} MiB`;

/** One line, e.g. `webgpu NVIDIA H200, f16, subgroups of 32, matrices`. */
export function describeDevice(context: GpuContext): string {
  return `webgpu ${[context.adapterName, ...usedFeatures(context)].join(", ")}`;
}

/** Which of several equivalent kernels the device gets, and why. */
function explainVariants({ features, isSoftware }: GpuContext): string[] {
  const { f16, matrices, subgroupSize } = features;
  const noSize = features.subgroups ? "subgroups have no one size" : "there are no subgroups";
  return [
    `decode attention: ${
      canHandOver(subgroupSize)
        ? `each subgroup of ${subgroupSize} walks keys of its own`
        : `through workgroup memory, because ${subgroupSize > 0 ? `subgroups have ${subgroupSize} lanes` : noSize}`
    }; ${f16 ? "codes times f16, sums in f32" : "f32, because there is no shader-f16"}`,
    `matrix products: few rows ${subgroupSize > 0 ? `by subgroups of ${subgroupSize}` : `through workgroup memory, because ${noSize}`}; ` +
      `many ${matrices ? "on matrix units, f16 to f32" : `in ${isSoftware ? "small " : ""}f32 tiles, because there are no f16 matrices`}`,
    "sampling: on the device for greedy and top-k up to 64, several tokens in flight",
  ];
}

export interface DeviceUse {
  /** Number of shapes with plans that the tuner has found. */
  readonly tuned: number;
  readonly kernels: readonly string[];
  /** Number of kernels compiled ahead, and the time they took together. */
  readonly compilation: { readonly kernels: number; readonly ms: number };
  readonly buffers: number;
  readonly bytes: number;
}

/** Lines for `--explain`: features in use and missing, important limits, kernels and buffers. */
export function explainDevice(context: GpuContext, use: DeviceUse): string[] {
  const { limits, missing, isSoftware } = context;
  const used = usedFeatures(context);
  return [
    `adapter: ${context.adapterName}${isSoftware ? " (computes on the CPU: for tests; --backend wasm is faster)" : ""}`,
    `features: ${used.length > 0 ? used.join(", ") : "none beyond the core"}${missing.length > 0 ? `; without ${missing.join(", ")}` : ""}`,
    `limits: buffers ${mebibytes(limits.maxBufferSize)}, bindings ${mebibytes(limits.maxStorageBufferBindingSize)}, ` +
      `workgroup memory ${limits.maxComputeWorkgroupStorageSize} B, ${limits.maxComputeInvocationsPerWorkgroup} invocations`,
    ...explainVariants(context),
    `kernels: ${use.kernels.length > 0 ? use.kernels.join(", ") : "made when first used"}`,
    ...(use.tuned > 0 ? [`tuned: plans of ${use.tuned} shapes (turboquant tune)`] : []),
    ...(use.compilation.kernels > 0
      ? [`compiled at load: ${use.compilation.kernels} kernels in ${(use.compilation.ms / 1000).toFixed(2)} s`]
      : []),
    `buffers: ${use.buffers}, ${mebibytes(use.bytes)}`,
  ];
}
