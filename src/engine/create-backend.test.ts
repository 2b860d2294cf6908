/** @file What `auto` chooses on machines without a usable GPU, and that it says why. No GPU takes part but in the last test. */
import { afterEach, describe, expect, it } from "vitest";
import { fakeAdapter, withAdapter } from "../../test/helpers/fake-adapter.ts";
import { gpuSkip } from "../../test/helpers/gpu.ts";
import { browserPlatform } from "../browser-platform.ts";
import { nodePlatform } from "../node/platform.ts";
import { setPlatform } from "../platform.ts";
import { createBackend } from "./create-backend.ts";
import { LLM } from "./llm.ts";

/** The backend that `auto` starts, and why. */
async function chosen(): Promise<[name: string, reason: string]> {
  let reason = "";
  const ops = await createBackend("auto", {
    onChoice: (told) => {
      reason = told;
    },
  });
  await ops.dispose();
  return [ops.name, reason];
}

describe("backend auto takes wasm and says why", () => {
  afterEach(() => setPlatform(nodePlatform));

  it.each([
    ["there is no WebGPU adapter", null, /^wasm, because of .*no adapter found/],
    [
      "the adapter is too small",
      fakeAdapter({ limits: { maxComputeWorkgroupStorageSize: 8192 } }),
      /at least \d+, got 8192/,
    ],
    [
      "the adapter computes on the CPU",
      fakeAdapter({ vendor: "google", architecture: "swiftshader" }),
      /computes on the CPU \(google swiftshader\)/,
    ],
    ["the adapter gives no device", fakeAdapter(), /gives no device \(the GPU process crashed\)/],
  ] as const)("%s", async (_, adapter, reason) => {
    withAdapter(adapter);
    expect(await chosen()).toEqual(["wasm", expect.stringMatching(reason)]);
  });

  it("the platform has no WebGPU at all", async () => {
    setPlatform({ ...nodePlatform, openGpu: browserPlatform.openGpu });
    expect(await chosen()).toEqual(["wasm", expect.stringMatching(/^wasm, because of .*no navigator\.gpu/)]);
  });

  it("the context that is asked for does not fit what the GPU binds; named, the GPU refuses", async () => {
    const adapter = fakeAdapter({ limits: { maxStorageBufferBindingSize: 2 ** 18 } });
    const device = Object.assign(new EventTarget(), {
      limits: adapter.limits,
      lost: new Promise(() => {}),
      createBuffer: () => ({ destroy: () => {} }),
      destroy: () => {},
    });
    withAdapter({ ...adapter, requestDevice: async () => device });
    const options = { contextLength: 4096, kv: "f16" };
    await using llm = await LLM.load("qwen3-1m", options);
    expect(llm.ops.name).toBe("wasm");
    expect(llm.backendChoice).toMatch(
      /^wasm, because of webgpu: context: 4,096 tokens of f16 do not fit: .* binds at most/,
    );
    await expect(LLM.load("qwen3-1m", { ...options, backend: "webgpu" })).rejects.toMatchObject({
      code: "out_of_memory",
    });
    // What neither has room for is refused in the words of the first.
    await expect(LLM.load("qwen3-1m", { ...options, memoryBytes: 1e5 })).rejects.toMatchObject({
      code: "out_of_memory",
    });
  });

  it("a fault that is ours is not passed over", async () => {
    setPlatform({ ...nodePlatform, openGpu: () => Promise.reject(new RangeError("ours")) });
    await expect(createBackend("auto")).rejects.toThrow(RangeError);
  });

  it.skipIf(gpuSkip)("this machine's adapter, when it is software; a GPU is taken", async () => {
    const ops = await createBackend("webgpu");
    const isSoftware = ops.explain!().some((line) => line.includes("computes on the CPU"));
    await ops.dispose();
    expect((await chosen())[0]).toBe(isSoftware ? "wasm" : "webgpu");
  });
});
