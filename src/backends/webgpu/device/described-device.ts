/**
 * @file A device that exists only as a description: it accepts every call, computes nothing, and passes on the text of every
 * kernel. So kernels can be printed on a machine without a GPU.
 */
import { GpuContext } from "./context.ts";

/** The features that the choice of kernels depends on. */
export interface DescribedFeatures {
  /** f16 in shaders: the feature `shader-f16`. */
  readonly f16: boolean;
  /** Lanes in a subgroup; 0 without the feature `subgroups`. */
  readonly subgroupSize: number;
  /** f16 matrices of 16 × 16 × 16 on subgroups of 32 lanes. */
  readonly matrices: boolean;
}

/** Limits of desktop GPUs. Kernels depend on the size of workgroup memory, and weights are cut at the size of a binding. */
const LIMITS = {
  maxBufferSize: 2 ** 32,
  maxStorageBufferBindingSize: 2 ** 32 - 4,
  maxComputeWorkgroupStorageSize: 49_152,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
  maxStorageBuffersPerShaderStage: 10,
};

/**
 * Stands for every object of a device: any property and the result of
 * any call is this object again, and awaiting it resolves at once.
 */
const inert: unknown = new Proxy(() => {}, {
  get: (_, key) => (key === "then" ? undefined : inert),
  apply: () => inert,
});

/** onKernel: called for each new kernel with its label and its WGSL */
export function describedContext(
  { f16, subgroupSize, matrices }: DescribedFeatures,
  onKernel: (label: string, code: string) => void,
): GpuContext {
  const known: Readonly<Record<string, unknown>> = {
    limits: LIMITS,
    // This device is never lost.
    lost: new Promise(() => {}),
    createShaderModule({ label, code }: { readonly label: string; readonly code: string }): unknown {
      onKernel(label, code);
      return inert;
    },
  };
  const device = new Proxy(known, { get: (own, key) => own[key as string] ?? inert });
  return new GpuContext({
    device: device as unknown as GPUDevice,
    adapterName: "described adapter",
    features: { f16, subgroups: subgroupSize > 0, subgroupSize, timestamps: false, matrices },
    missing: [],
    isSoftware: false,
  });
}
