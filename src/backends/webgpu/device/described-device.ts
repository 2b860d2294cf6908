/**
 * @file A device that is only described: it takes every call, computes nothing and holds no memory, and hands on the text of
 * every kernel that is made for it. So what a GPU would be given can be looked at on a machine without one.
 */
import { GpuContext } from "./context.ts";

/** What kernels are chosen by. */
export interface DescribedFeatures {
  /** f16 in shaders: the feature `shader-f16`. */
  readonly f16: boolean;
  /** Lanes of a subgroup; 0 without the feature `subgroups`. */
  readonly subgroupSize: number;
  /** f16 matrices of 16 × 16 × 16 on subgroups of 32 lanes. */
  readonly matrices: boolean;
}

/** As desktop GPUs have them. Kernels are laid out by the workgroup memory, weights are cut by the bytes of a binding. */
const LIMITS = {
  maxBufferSize: 2 ** 32,
  maxStorageBufferBindingSize: 2 ** 32 - 4,
  maxComputeWorkgroupStorageSize: 49_152,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
  maxStorageBuffersPerShaderStage: 10,
};

/** Stands for every object of a device: any property and any result of a call is the same again; awaited, it is there at once. */
const inert: unknown = new Proxy(() => {}, {
  get: (_, key) => (key === "then" ? undefined : inert),
  apply: () => inert,
});

/** onKernel: told of each kernel when it is made, with its label and its WGSL */
export function describedContext(
  { f16, subgroupSize, matrices }: DescribedFeatures,
  onKernel: (label: string, code: string) => void,
): GpuContext {
  const known: Readonly<Record<string, unknown>> = {
    limits: LIMITS,
    // A device that is only described is never lost.
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
