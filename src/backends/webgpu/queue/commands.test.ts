/** @file Kernels that are compiled ahead, and what the warm-up leaves undone. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gpuSkip, openTestGpu, type TestGpu } from "../../../../test/support/gpu.ts";
import { Struct } from "../../parameters/struct.ts";
import type { Kernel } from "./kernel.ts";
import { paramsText } from "./params-text.ts";

const params = new Struct({ given: "u32" });
const spec = (label: string, value: string) => ({
  label,
  shader: {
    params,
    code: `${paramsText(params)}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<u32>;
@compute @workgroup_size(1) fn main() { out[0] = p.given + ${value}; }`,
  },
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
    const dispatch = (): Kernel<typeof params> => {
      const kernel = commands.kernel("add", () => spec("add", "40u"));
      commands.dispatch(kernel, { given: 2 }, [out], 1);
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
      { given: 2 },
      [out],
      1,
    );
    expect([...new Uint32Array(await commands.read(out, 0, 4))]).toEqual([3]);
    expect(late).toBe(1);
    Object.assign(context.device, { createComputePipeline: create });
  });

  it("has kernels read each number where it was written", async () => {
    const { commands, allocator } = gpu;
    const block = new Struct({
      list: ["f32", 8],
      first: ["u32", "A comment of its own."],
      second: "i32",
      third: "f32",
    });
    const out = allocator.allocate(64, "out");
    const kernel = commands.kernel("fields", () => ({
      label: "fields",
      shader: {
        params: block,
        code: `${paramsText(block)}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
@compute @workgroup_size(1) fn main() {
  for (var i = 0u; i < 8u; i++) { out[i] = p.list[i >> 2u][i & 3u]; }
  out[8] = f32(p.first);
  out[9] = f32(p.second);
  out[10] = p.third;
}`,
      },
      buffers: ["write"] as const,
    }));
    const list = [1, 2, 3, 4, 5, 6, 7, 8.5];
    commands.dispatch(kernel, { list, first: 9, second: -10, third: 0.25 }, [out], 1);
    expect([...new Float32Array(await commands.read(out, 0, 44))]).toEqual([...list, 9, -10, 0.25]);
    const mistakes = (): void => {
      // @ts-expect-error: a field is missing
      commands.dispatch(kernel, { list, first: 9, second: -10 }, [out], 1);
      // @ts-expect-error: no field of that name
      commands.dispatch(kernel, { list, first: 9, second: -10, third: 0.25, fourth: 0 }, [out], 1);
      // @ts-expect-error: a number for a list
      commands.dispatch(kernel, { list: 1, first: 9, second: -10, third: 0.25 }, [out], 1);
    };
    expect(mistakes, "what types refuse is only compiled").toBeTypeOf("function");
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
