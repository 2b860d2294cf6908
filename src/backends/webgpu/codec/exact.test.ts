/**
 * @file exact.wgsl: quotients and roots rounded once, whatever the device's own division and root are off by.
 *
 * SwiftShader divides exactly, so its results are moved by a few units first, as other devices' are: WGSL allows 2.5.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gpuSkip, openTestGpu, type TestGpu } from "../../../../test/support/gpu.ts";
import { CounterRng } from "../../../math/rng.ts";
import { Struct } from "../../parameters/struct.ts";
import { shaders } from "../generated/shaders.ts";
import { paramsText } from "../queue/params-text.ts";

/** Pairs of each case. */
const COUNT = 1 << 16;

const params = new Struct({ zero: "u32" });

/** A kernel of `text` for every pair, with the device's division and root off by `units` in the last place. */
function code(text: string, units: number): string {
  const exact = shaders.exact
    .replace("numerator / b", "off(numerator / b)")
    .replace("let near = sqrt(x)", "let near = off(sqrt(x))");
  return `
${paramsText(params)}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> pairs: array<vec2f>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
fn off(x: f32) -> f32 { return bitcast<f32>(u32(i32(bitcast<u32>(x)) + ${units})); }
${exact}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = pairs[id.x].x;
  let b = pairs[id.x].y;
  out[id.x] = ${text};
}`;
}

describe.skipIf(gpuSkip)(`webgpu exact arithmetic${gpuSkip ? ` (${gpuSkip})` : ""}`, () => {
  let gpu: TestGpu;
  const pairs = new Float32Array(COUNT * 2);
  beforeAll(async () => {
    gpu = await openTestGpu();
    const rng = new CounterRng(3, 14);
    // Magnitudes that norms and sums of squares have, over sixteen powers of two each way.
    for (let i = 0; i < pairs.length; i++) {
      pairs[i] =
        (i % 4 === 1 && i % 3 === 0 ? -1 : 1) * (1 + rng.uniform(2 * i)) * 2 ** (32 * rng.uniform(2 * i + 1) - 16);
    }
  });
  afterAll(() => gpu?.dispose());

  async function run(text: string, units: number): Promise<Float32Array> {
    const kernel = gpu.commands.kernel(`${text} ${units}`, () => ({
      label: text,
      shader: { code: code(text, units), params },
      buffers: ["read", "write"],
    }));
    const [from, out] = [gpu.upload(pairs), gpu.allocator.allocate(COUNT * 4, "out")];
    gpu.commands.dispatch(kernel, { zero: 0 }, [from, out], COUNT / 64);
    return gpu.readFloats(out, COUNT);
  }

  it.each([-3, -1, 0, 1, 3])("off by %d units, quotients and roots are the nearest f32", async (units) => {
    const quotients = await run("quotient(a, b)", units);
    const roots = await run("root(abs(a))", units);
    const wrong = { quotients: 0, roots: 0 };
    for (let i = 0; i < COUNT; i++) {
      const [a, b] = [pairs[2 * i]!, pairs[2 * i + 1]!];
      if (quotients[i] !== Math.fround(a / b)) wrong.quotients++;
      if (roots[i] !== Math.fround(Math.sqrt(Math.abs(a)))) wrong.roots++;
    }
    // A quotient so near the middle between two f32 that its correction rounds the other way: 2^-20 of them at most.
    expect(wrong.quotients).toBeLessThanOrEqual(1);
    expect(wrong.roots).toBeLessThanOrEqual(1);
  });

  it("leaves what has no correction as the device gives it", async () => {
    expect((await run("quotient(a, 0.0)", 0))[0]).toBe(Number.POSITIVE_INFINITY);
    expect((await run("root(a * 0.0)", 0))[0]).toBe(0);
  });
});
