/** @file What `auto` chooses on machines without a usable GPU, and that it says why. No GPU takes part but in the last test. */
import { afterEach, describe, expect, it } from "vitest";
import { type FakeAdapter, fakeAdapter, withAdapter } from "../../test/support/fake-adapter.ts";
import { fakeCheckpoint } from "../../test/support/fake-checkpoint.ts";
import { FakeOps } from "../../test/support/fake-ops.ts";
import { gpuSkip } from "../../test/support/gpu.ts";
import { seededSource } from "../../test/support/seeded-checkpoint.ts";
import { type Capabilities, EVERYTHING } from "../backends/capabilities.ts";
import { browserPlatform } from "../browser-platform.ts";
import { TurboQuantError } from "../errors.ts";
import { nodePlatform } from "../node/platform.ts";
import { setPlatform } from "../platform.ts";
import { layerFormats } from "../quant/layer-formats.ts";
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

/** An adapter with a device that can be opened and asked, and computes nothing. */
function adapterWithDevice(options: FakeAdapter = {}) {
  const adapter = fakeAdapter(options);
  let destroyed = 0;
  const requestDevice = async () =>
    Object.assign(new EventTarget(), {
      limits: adapter.limits,
      lost: new Promise(() => {}),
      createBuffer: () => ({ destroy: () => {} }),
      destroy: () => {
        destroyed++;
      },
    });
  return { adapter: { ...adapter, requestDevice }, destroyed: () => destroyed };
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
    withAdapter(adapterWithDevice({ limits: { maxStorageBufferBindingSize: 2 ** 18 } }).adapter);
    const options = { contextLength: 4096, kv: "f16" };
    await using llm = await LLM.load("qwen3-1m", options);
    expect(llm.ops.name).toBe("wasm");
    expect(llm.backendChoice).toMatch(
      /^wasm, because of webgpu: context: 4,096 tokens of f16 do not fit: .* binds at most/,
    );
    expect(llm.notes, "said unasked, without the advice").toEqual([
      expect.stringMatching(/^backend: wasm, because of webgpu: context: 4,096 tokens of f16 do not fit: [^;]*$/),
    ]);
    await expect(LLM.load("qwen3-1m", { ...options, backend: "webgpu" })).rejects.toMatchObject({
      code: "out_of_memory",
    });
    // What neither has room for is refused in the words of the first.
    await expect(LLM.load("qwen3-1m", { ...options, memoryBytes: 1e5 })).rejects.toMatchObject({
      code: "out_of_memory",
    });
  });

  it.each([
    ["kivi-4", "kivi4"],
    ["paper-4+qjl", "tq3+qjl"],
    ["k4v4,codebook=2", "tq4,codebook=2"],
    ["k4v4,layers=1:kivi-4", "kivi4"],
  ])("the GPU has no kernels for %s; named, the GPU refuses before it reads a weight", async (kv, what) => {
    const gpu = adapterWithDevice();
    withAdapter(gpu.adapter);
    {
      await using llm = await LLM.load("qwen3-1m", { kv, contextLength: 256 });
      expect(llm.ops.name).toBe("wasm");
      const reason = `wasm, because of --kv ${what}: the webgpu backend has no kernel for it`;
      expect(llm.backendChoice).toContain(`${reason}; choose`);
      expect(llm.notes).toEqual([`backend: ${reason}`]);
      expect(gpu.destroyed(), "the device is given back").toBe(1);
    }
    const read: string[] = [];
    const onProgress = ({ item }: { item: string }) => read.push(item);
    await expect(LLM.load("qwen3-1m", { kv, backend: "webgpu", onProgress })).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/no kernel for it; choose .* or --backend wasm/),
    });
    expect(read).toEqual([]);
    expect(gpu.destroyed()).toBe(2);
  });

  it("a format that will be asked for later has none", async () => {
    withAdapter(adapterWithDevice().adapter);
    await using llm = await LLM.load("qwen3-1m", { kv: "f16", otherKv: ["k4v4", "kivi-2"], contextLength: 256 });
    expect(llm.backendChoice).toMatch(/^wasm, because of --kv kivi2: /);
    await using other = await llm.withKv("kivi-2");
    expect(other.ops.name).toBe("wasm");
  });

  it("and keeps the GPU for formats that it has kernels for", async () => {
    withAdapter(adapterWithDevice().adapter);
    const kv = ["k4v4", "paper-3", "q8_0", "q4_0r", "f16", "f32", "k5v4,layers=0:k8v8,window=0,sinks=0"];
    const told: [string, boolean][] = [];
    const ops = await createBackend("auto", {
      formats: layerFormats(kv, [["full"], ["full"]]),
      onChoice: (reason, leavesGpu) => told.push([reason, leavesGpu]),
    });
    expect(ops.name).toBe("webgpu");
    expect(told).toEqual([["webgpu, because there is a GPU", false]]);
    await ops.dispose();
  });

  it("heads that the GPU has too little workgroup memory for; named, the GPU refuses", async () => {
    const limits = { maxComputeWorkgroupStorageSize: 16_384 };
    withAdapter(adapterWithDevice({ limits }).adapter);
    const [short, long] = [{ headDims: [8, 256] }, { headDims: [256, 264] }];
    const ops = await createBackend("webgpu", short);
    await ops.dispose();
    await expect(createBackend("webgpu", long)).rejects.toMatchObject({
      code: "unsupported",
      message: "the webgpu backend: head_dim: expected a multiple of 8 from 8 to 256, got 264; use --backend wasm",
    });
    let reason = "";
    const other = await createBackend("auto", {
      ...long,
      onChoice: (told) => {
        reason = told;
      },
    });
    await other.dispose();
    expect(other.name).toBe("wasm");
    expect(reason).toMatch(/^wasm, because of the webgpu backend: head_dim: .*got 264/);
  });

  it("rows of several tokens, which the GPU has no kernel for; named, the GPU refuses", async () => {
    withAdapter(adapterWithDevice().adapter);
    await expect(createBackend("webgpu", { needs: ["compressesTokens"] })).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(
        /no kernel for rows of the cache that stand for several tokens; use --backend wasm$/,
      ),
    });
    const other = await createBackend("auto", { needs: ["compressesTokens"] });
    await other.dispose();
    expect(other.name).toBe("wasm");
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

it("a backend of the caller's own is asked like a named one, before weights are read, and stays open", async () => {
  const checkKv = (): void => {
    throw new TurboQuantError("unsupported", "no kernel for it");
  };
  const backendWith = (lacks: Partial<Capabilities>): FakeOps =>
    Object.assign(new FakeOps(), { capabilities: { ...EVERYTHING, ...lacks } });
  const read: string[] = [];
  const onProgress = ({ item }: { item: string }) => read.push(item);
  for (const [lacks, source, message, kv] of [
    [
      { choosesTokens: false },
      seededSource("deepseek_v32"),
      /the fake backend has no kernel for attention to the tokens that/,
    ],
    [
      { choosesInTiers: false },
      seededSource("minimax_m3_vl_text"),
      /the fake backend has no kernel for attention to chosen tokens in tiers of codes/,
      "tiers=8:16,4:64,3",
    ],
    [{ checkKv }, fakeCheckpoint(), "no kernel for it"],
    [{ maxHeadDim: 8 }, fakeCheckpoint(), /the fake backend: head_dim: expected a multiple of 8 from 8 to 8, got/],
  ] as const) {
    const backend = backendWith(lacks);
    await expect(LLM.load(source, { backend, onProgress, ...(kv && { kv }) })).rejects.toThrow(message);
    expect([read, backend.isDisposed]).toEqual([[], false]);
  }
});
