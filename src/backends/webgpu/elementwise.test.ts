import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gpuSkip, openTestGpu, type TestGpu } from "../../../test/helpers/gpu.ts";
import { f32Word } from "./commands.ts";
import { shaders } from "./generated/shaders.ts";
import { shaderText } from "./shader-text.ts";

describe.skipIf(gpuSkip)(`webgpu elementwise kernels${gpuSkip ? ` (${gpuSkip})` : ""}`, () => {
  let gpu: TestGpu;
  beforeAll(async () => {
    gpu = await openTestGpu();
  });
  afterAll(() => gpu.dispose());

  it("rms norm", async () => {
    const { commands, allocator } = gpu;
    const kernel = commands.kernel("rms-norm", () => ({
      label: "rms-norm",
      code: shaderText("rms-norm", shaders["rms-norm"], {}),
      buffers: ["read", "read", "write"],
    }));
    const x = gpu.upload(Float32Array.from([3, 4, 0, 0]));
    const w = gpu.upload(Float32Array.from([1, 2, 3, 4]));
    const out = allocator.allocate(16, "out");
    commands.dispatch(kernel, [4, f32Word(0)], [x, w, out], 1);
    const values = await gpu.readFloats(out, 4);
    expect(values[0]).toBeCloseTo(3 / 2.5, 6);
    expect(values[1]).toBeCloseTo(8 / 2.5, 6);
  });
});
