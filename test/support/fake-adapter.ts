/** @file A WebGPU adapter that is only described, for tests of what is refused: no GPU takes part. */
import { nodePlatform } from "../../src/node/platform.ts";
import { setPlatform } from "../../src/platform.ts";

const LIMITS = {
  maxStorageBuffersPerShaderStage: 10,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupStorageSize: 32_768,
  maxComputeWorkgroupSizeX: 256,
  maxBufferSize: 2 ** 30,
  maxStorageBufferBindingSize: 2 ** 27,
};

export interface FakeAdapter {
  readonly limits?: Partial<typeof LIMITS>;
  readonly vendor?: string;
  readonly architecture?: string;
}

/** One that would do but for `changes`, and gives no device. */
export function fakeAdapter({ limits, vendor = "acme", architecture = "one" }: FakeAdapter = {}) {
  return {
    limits: { ...LIMITS, ...limits },
    info: { vendor, architecture, device: "", description: "" },
    features: new Set<string>(),
    requestDevice: () => Promise.reject(new DOMException("the GPU process crashed", "OperationError")),
  };
}

/** Puts a platform in place whose adapter is this; returns how often it was let go. The test puts `nodePlatform` back. */
export function withAdapter(adapter: object | null): { released: number } {
  const counts = { released: 0 };
  const gpu = { requestAdapter: async () => adapter } as unknown as GPU;
  const release = () => {
    counts.released++;
  };
  setPlatform({ ...nodePlatform, openGpu: async () => ({ gpu, release }) });
  return counts;
}
