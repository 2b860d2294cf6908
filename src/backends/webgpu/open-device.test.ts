/** @file Adapters that cannot be used: each is refused with what is missing and the next step. No GPU takes part. */
import { afterEach, describe, expect, it } from "vitest";
import "../../node/install.ts";
import { nodePlatform } from "../../node/platform.ts";
import { setPlatform } from "../../platform.ts";
import { openDevice } from "./open-device.ts";

const LIMITS = {
  maxStorageBuffersPerShaderStage: 10,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupStorageSize: 32_768,
  maxComputeWorkgroupSizeX: 256,
  maxBufferSize: 2 ** 30,
  maxStorageBufferBindingSize: 2 ** 27,
};
const INFO = { vendor: "acme", architecture: "one", device: "", description: "" };

/** Puts a platform in place whose adapter is this; returns how often it was let go. */
function withAdapter(adapter: object | null): { released: number } {
  const counts = { released: 0 };
  const gpu = { requestAdapter: async () => adapter } as unknown as GPU;
  const release = () => {
    counts.released++;
  };
  setPlatform({ ...nodePlatform, openGpu: async () => ({ gpu, release }) });
  return counts;
}

const adapterOf = (changes: object) => ({ limits: LIMITS, info: INFO, features: new Set<string>(), ...changes });

describe("adapters that do not do", () => {
  afterEach(() => setPlatform(nodePlatform));

  it("none at all", async () => {
    const counts = withAdapter(null);
    await expect(openDevice()).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/no adapter found; install a GPU driver .* --backend wasm/),
    });
    expect(counts.released).toBe(1);
  });

  it.each([
    ["maxStorageBuffersPerShaderStage", 7],
    ["maxComputeInvocationsPerWorkgroup", 128],
    ["maxComputeWorkgroupStorageSize", 8192],
  ])("%s of %d", async (limit, has) => {
    const counts = withAdapter(adapterOf({ limits: { ...LIMITS, [limit]: has } }));
    await expect(openDevice()).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(`${limit} of at least \\d+, got ${has} \\(acme one\\); use --backend wasm`),
      detail: { limit, has },
    });
    expect(counts.released).toBe(1);
  });

  it("one that computes on the CPU, where a GPU is wanted", async () => {
    withAdapter(adapterOf({ info: { ...INFO, vendor: "google", architecture: "swiftshader" } }));
    await expect(openDevice({ hardwareOnly: true })).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/computes on the CPU \(google swiftshader\); use --backend wasm/),
    });
  });

  it("one that gives no device", async () => {
    const requestDevice = () => Promise.reject(new DOMException("the GPU process crashed", "OperationError"));
    const counts = withAdapter(adapterOf({ requestDevice }));
    await expect(openDevice()).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/acme one gives no device \(the GPU process crashed\); close other programs/),
    });
    expect(counts.released).toBe(1);
  });
});
