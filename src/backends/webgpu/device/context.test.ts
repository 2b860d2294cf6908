/** @file Errors of a device reach the caller who waits: a device of ours that reports them, and SwiftShader's own reports. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gpuSkip, openTestGpu } from "../../../../test/support/gpu.ts";
import { openNodeGpu } from "../../../node/gpu.ts";
import { nodePlatform } from "../../../node/platform.ts";
import { setPlatform } from "../../../platform.ts";
import { GpuContext, type GpuContextOptions } from "./context.ts";

class GPUOutOfMemoryError {
  readonly message = "1 GiB could not be had";
}
class GPUValidationError {
  readonly message = "the binding is too small";
}

/** A device that does nothing but fail. `fail` returns whether nobody has heard of the error. */
function fakeDevice(options: Pick<GpuContextOptions, "isShared"> = {}) {
  let lose: (info: { reason: string; message: string }) => void = () => {};
  const lost = new Promise((resolve) => {
    lose = resolve;
  });
  const scopes: { readonly filter: string; error: object | null }[] = [];
  const device = Object.assign(new EventTarget(), {
    lost,
    pushErrorScope: (filter: string) => void scopes.push({ filter, error: null }),
    popErrorScope: async () => scopes.pop()!.error,
    limits: { maxBufferSize: 2 ** 28, maxStorageBufferBindingSize: 2 ** 27 },
    destroy: () => lose({ reason: "destroyed", message: "by hand" }),
  });
  const fail = (error: object): boolean => {
    const filter = error instanceof GPUOutOfMemoryError ? "out-of-memory" : "validation";
    const scope = scopes.findLast((one) => one.filter === filter);
    if (!scope)
      return device.dispatchEvent(Object.assign(new Event("uncapturederror", { cancelable: true }), { error }));
    scope.error ??= error;
    return false;
  };
  const features = { f16: false, subgroups: false, subgroupSize: 0, timestamps: false, matrices: false };
  const context = new GpuContext({
    device: device as unknown as GPUDevice,
    adapterName: "fake",
    features,
    missing: [],
    isSoftware: true,
    ...options,
  });
  return { context, device, fail, lose };
}

describe("a device that fails", () => {
  it("out of memory rejects the next wait, and says what to do", async () => {
    const { context, fail } = fakeDevice();
    await expect(context.wait(Promise.resolve(1))).resolves.toBe(1);
    // Nothing is left for the console: the event is handled.
    expect(fail(new GPUOutOfMemoryError())).toBe(false);
    await expect(context.wait(Promise.resolve(1))).rejects.toMatchObject({
      code: "out_of_memory",
      message: expect.stringMatching(/1 GiB could not be had.*shorter context, fewer KV bits or smaller weights/),
    });
    expect(() => context.check()).toThrow(/out of memory/);
  });

  it("the first error is the one that is told", async () => {
    const { context, fail } = fakeDevice();
    fail(new GPUValidationError());
    fail(new GPUOutOfMemoryError());
    await expect(context.wait(Promise.resolve())).rejects.toMatchObject({
      code: "internal",
      message: expect.stringContaining("GPUValidationError: the binding is too small"),
    });
  });

  it("a loss that comes after the wait it broke is the reason that is given", async () => {
    const { context, lose } = fakeDevice();
    const wait = context.wait(Promise.reject(new Error("AbortError")));
    setTimeout(() => lose({ reason: "unknown", message: "the driver was reset" }), 20);
    await expect(wait).rejects.toMatchObject({
      code: "device_lost",
      message: expect.stringMatching(/the driver was reset\); load the model again and restore a saved session/),
    });
    expect(context.isLost).toBe(true);
  });

  it("a failure that is not the device's stays what it is", async () => {
    const { context } = fakeDevice();
    await expect(context.wait(Promise.reject(new RangeError("ours")))).rejects.toThrow(RangeError);
  });

  it("after dispose the caller is told to load again, and destroying the device is no loss", async () => {
    const { context } = fakeDevice();
    context.dispose();
    await new Promise((resolve) => setTimeout(resolve, 1));
    expect(() => context.check()).toThrow(/used after dispose\(\)/);
    expect(context.isLost).toBe(false);
  });

  it("after dispose nothing of the context listens, as the device would be kept by that for as long as the process", () => {
    const { context, fail } = fakeDevice();
    expect(fail(new GPUValidationError())).toBe(false);
    context.dispose();
    expect(fail(new GPUValidationError())).toBe(true);
  });
});

describe("a device that others use too", () => {
  it("an error of theirs is left to them", async () => {
    const { context, fail } = fakeDevice({ isShared: true });
    context.own(() => {});
    expect(fail(new GPUValidationError())).toBe(true);
    await expect(context.wait(Promise.resolve(1))).resolves.toBe(1);
  });

  it("an error of ours rejects the next wait, and is not left to them", async () => {
    const { context, fail } = fakeDevice({ isShared: true });
    expect(context.own(() => fail(new GPUOutOfMemoryError()))).toBe(false);
    await expect(context.wait(Promise.resolve(1))).rejects.toMatchObject({ code: "out_of_memory" });
    expect(() => context.check()).toThrow(/out of memory/);
  });

  it("calls that throw leave no scope behind", async () => {
    const { context, fail } = fakeDevice({ isShared: true });
    const calls = (): never => {
      throw new RangeError("ours");
    };
    expect(() => context.own(calls)).toThrow(RangeError);
    expect(fail(new GPUValidationError())).toBe(true);
  });

  it("its loss is ours as well", async () => {
    const { context, lose } = fakeDevice({ isShared: true });
    lose({ reason: "unknown", message: "the driver was reset" });
    await expect(context.wait(Promise.resolve())).rejects.toMatchObject({ code: "device_lost" });
  });
});

describe.skipIf(gpuSkip)(`a real device${gpuSkip ? ` (${gpuSkip})` : ""}`, () => {
  // One that nobody keeps: it is destroyed, and reports its errors, itself.
  beforeAll(() => setPlatform({ ...nodePlatform, openGpu: openNodeGpu }));
  afterAll(() => setPlatform(nodePlatform));

  it("reports a mistake of ours to the next read", async () => {
    const { context, commands, allocator, dispose } = await openTestGpu();
    const buffer = allocator.allocate(16, "test");
    context.device.createBuffer({ size: 16, usage: 0xffff_0000 });
    await expect(commands.read(buffer, 0, 16)).rejects.toMatchObject({ code: "internal" });
    dispose();
  });

  it("refuses a buffer beyond its limit with the numbers, and goes on", async () => {
    const { commands, allocator, context, dispose } = await openTestGpu({ bindingLimit: 1 << 20 });
    expect(() => allocator.allocate((1 << 20) + 1, "a matrix")).toThrow(
      expect.objectContaining({
        code: "out_of_memory",
        detail: { requestedBytes: (1 << 20) + 16, limitBytes: 1 << 20 },
      }),
    );
    const buffer = allocator.allocate(1 << 20, "a matrix");
    expect((await commands.read(buffer, 0, 16)).byteLength).toBe(16);
    context.check();
    dispose();
  });

  it("that others use tells our mistakes from theirs", async () => {
    const { context, commands, allocator, dispose } = await openTestGpu({ isShared: true });
    const buffer = allocator.allocate(16, "test");
    const mistake = () => context.device.createBuffer({ size: 16, usage: 0xffff_0000 });
    const theirs = new Promise<void>((resolve) => {
      context.device.addEventListener("uncapturederror", (event) => {
        event.preventDefault();
        resolve();
      });
    });
    mistake();
    await theirs;
    expect((await commands.read(buffer, 0, 16)).byteLength).toBe(16);
    context.own(mistake);
    await expect(commands.read(buffer, 0, 16)).rejects.toMatchObject({ code: "internal" });
    dispose();
  });

  it("that is destroyed rejects reads that are under way and later ones", async () => {
    const { commands, allocator, context, dispose } = await openTestGpu();
    const buffer = allocator.allocate(1 << 20, "test");
    const read = commands.read(buffer, 0, 1 << 20);
    context.device.destroy();
    await expect(read).rejects.toMatchObject({ code: "device_lost" });
    await expect(commands.read(buffer, 0, 16)).rejects.toMatchObject({ code: "device_lost" });
    dispose();
  });
});
