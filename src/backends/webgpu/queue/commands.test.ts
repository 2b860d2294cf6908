/** @file Kernels that are compiled ahead, and what the warm-up leaves undone. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gpuSkip, openTestGpu, type TestGpu } from "../../../../test/support/gpu.ts";
import type { Kernel } from "./kernel.ts";

const spec = (label: string, value: string) => ({
  label,
  code: `@group(0) @binding(0) var<uniform> p: vec4u;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(1) fn main() { out[0] = p.x + ${value}; }`,
  buffers: ["write"] as const,
});

describe.skipIf(gpuSkip)(`the warm-up${gpuSkip ? ` (${gpuSkip})` : ""}`, () => {
  let gpu: TestGpu;
  beforeAll(async () => {
    gpu = await openTestGpu();
  });
  afterAll(() => gpu?.dispose());

  it("compiles what it meets and computes nothing; later dispatches find it, copies and writes are done", async () => {
    const { commands, allocator, context } = gpu;
    const [out, copied] = [allocator.allocate(16, "out"), allocator.allocate(16, "copied")];
    const dispatch = (): Kernel => {
      const kernel = commands.kernel("add", () => spec("add", "40u"));
      commands.dispatch(kernel, [2], [out], 1);
      return kernel;
    };
    const create = context.device.createComputePipeline;
    let late = 0;
    Object.assign(context.device, {
      createComputePipeline: (descriptor: GPUComputePipelineDescriptor) => {
        late++;
        return create.call(context.device, descriptor);
      },
    });
    const told: string[] = [];
    const onKernel = (done: number, total: number) => told.push(`${done}/${total}`);
    const done = commands.warmUp(() => {
      dispatch();
      commands.write(out, 4, Uint32Array.of(7));
      commands.copy(out, 4, copied, 0, 4);
    }, onKernel);
    expect(commands.isWarmingUp).toBe(false);
    expect(told, "said before anything is compiled").toEqual(["0/1"]);
    await done;
    await commands.warmUp(dispatch, onKernel);
    expect(told, "what is known is not said again").toEqual(["0/1", "1/1"]);
    expect(commands.compilation.kernels).toBe(1);
    expect(commands.counts.dispatches).toBe(0);
    expect([...new Uint32Array(await commands.read(out, 0, 8))]).toEqual([0, 7]);
    expect([...new Uint32Array(await commands.read(copied, 0, 4))]).toEqual([7]);
    dispatch();
    expect([...new Uint32Array(await commands.read(out, 0, 8))]).toEqual([42, 7]);
    expect(late).toBe(0);
    // One that no warm-up met is made when it is needed, and counted here.
    commands.dispatch(
      commands.kernel("other", () => spec("other", "1u")),
      [2],
      [out],
      1,
    );
    expect([...new Uint32Array(await commands.read(out, 0, 4))]).toEqual([3]);
    expect(late).toBe(1);
    Object.assign(context.device, { createComputePipeline: create });
  });

  it("ends with the reason when a kernel does not compile, and is over when its work throws", async () => {
    const own = await openTestGpu();
    const refused = own.commands.warmUp(() => {
      own.commands.kernel("bad", () => spec("a bad kernel", "nonsense"));
    });
    await expect(refused).rejects.toMatchObject({ code: "internal" });
    const thrown = gpu.commands.warmUp(() => {
      throw new RangeError("ours");
    });
    await expect(thrown).rejects.toThrow(RangeError);
    expect(gpu.commands.isWarmingUp).toBe(false);
    own.dispose();
  });

  it("rejects when the device is lost meanwhile", async () => {
    const own = await openTestGpu();
    const lost = own.commands.warmUp(() => {
      own.commands.kernel("add", () => spec("add", "1u"));
    });
    own.context.device.destroy();
    await expect(lost).rejects.toMatchObject({ code: "device_lost" });
    own.dispose();
  });
});
