/**
 * @file A WebGPU adapter whose device computes nothing and counts the bytes of its buffers. Memory plans are held against it on
 * any machine, with the features of devices that nobody here has.
 */
import { fakeAdapter } from "./fake-adapter.ts";

/** Stands for any object of a device whose results are not looked at. */
const inert: unknown = new Proxy(() => {}, {
  get: (_, key) => (key === "then" ? undefined : inert),
  apply: () => inert,
});

export interface CountedBytes {
  /** Of the live buffers of all kinds: storage, uniforms, readback. */
  now: number;
  /** The most there were since it was last set. */
  most: number;
  /** Of the live buffers whose label begins with these words. */
  labelled(words: string): number;
}

/** matrices: with every feature that kernels use, f16 matrices among them, instead of none */
export function countingAdapter(matrices: boolean): { readonly adapter: object; readonly bytes: CountedBytes } {
  const live = new Set<{ readonly size: number; readonly label?: string }>();
  const bytes: CountedBytes = {
    ...{ now: 0, most: 0 },
    labelled: (words) => [...live].reduce((sum, { size, label }) => sum + (label?.startsWith(words) ? size : 0), 0),
  };
  const base = fakeAdapter({
    // Devices with matrices have 48 KB or more, which attention on them takes.
    limits: { maxStorageBufferBindingSize: 2 ** 30, ...(matrices && { maxComputeWorkgroupStorageSize: 49_152 }) },
  });
  const known: Readonly<Record<string, unknown>> = {
    limits: base.limits,
    lost: new Promise(() => {}),
    createBuffer(of: { readonly size: number; readonly label?: string }): object {
      const { size } = of;
      live.add(of);
      bytes.now += size;
      bytes.most = Math.max(bytes.most, bytes.now);
      return {
        size,
        destroy() {
          if (live.delete(of)) bytes.now -= size;
        },
        mapAsync: async () => {},
        getMappedRange: (_: number, length: number) => new ArrayBuffer(length),
        unmap() {},
      };
    },
  };
  // A promise that resolves to it must not take it for another promise.
  const device = new Proxy(known, { get: (own, key) => (key === "then" ? undefined : (own[key as string] ?? inert)) });
  const adapter = {
    ...base,
    requestDevice: async () => device,
    ...(matrices && {
      features: new Set(["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"]),
      info: {
        ...base.info,
        subgroupMinSize: 32,
        subgroupMaxSize: 32,
        subgroupMatrixConfigs: [{ componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 }],
      },
    }),
  };
  return { adapter, bytes };
}
