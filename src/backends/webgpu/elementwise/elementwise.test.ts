import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ACTIVATION_KINDS,
  activated,
  activationError,
  NORM_CASES,
  normed,
} from "../../../../test/support/elementwise-grid.ts";
import { gpuSkip, openTestGpu, type TestGpu } from "../../../../test/support/gpu.ts";
import { embedTokens, gaussians, partOf, relativeError } from "../../../../test/support/wasm-backend.ts";
import { tolerance } from "../../../../test/tolerances.ts";
import type { Ops } from "../../ops.ts";
import { createReferenceBackend } from "../../reference/backend.ts";
import { createWebGpuBackend, type WebGpuBackend } from "../backend.ts";
import { ElementwiseKernels } from "./elementwise.ts";

const close = (actual: ArrayLike<number>, expected: ArrayLike<number>): void =>
  expect(relativeError(actual, expected)).toBeLessThan(tolerance.elementwise.max);

describe.skipIf(gpuSkip)(`norms and activations beside the reference${gpuSkip ? ` (${gpuSkip})` : ""}`, () => {
  let ops: WebGpuBackend;
  beforeAll(async () => {
    ops = await createWebGpuBackend();
  });
  afterAll(() => ops.dispose());
  const reference = createReferenceBackend();
  // Not multiples of a workgroup; a column alone, fewer and more than one workgroup has invocations.
  const SIZES = [
    [1, 3],
    [63, 2],
    [300, 3],
  ] as const;

  it("norms", async () => {
    for (const c of NORM_CASES) {
      for (const [width, rows] of SIZES) {
        const label = `${JSON.stringify(c)} ${rows}x${width}`;
        const error = activationError(await normed(ops, c, width, rows), await normed(reference, c, width, rows));
        expect(error, label).toBeLessThan(tolerance.activation.max);
      }
    }
  });

  it.each(ACTIVATION_KINDS)("%s", async (kind) => {
    for (const isGated of [false, true]) {
      for (const [width, rows] of SIZES) {
        const act = (of: Ops) => activated(of, { kind, isGated }, width, rows);
        expect(activationError(await act(ops), await act(reference))).toBeLessThan(tolerance.activation.max);
      }
    }
  });

  it("embeddings times a factor", async () => {
    const table = ops.loadWeight([partOf(gaussians(1, 5 * 33), 33)], "bf16");
    const [plain, scaled] = [ops.alloc(66), ops.alloc(66)];
    embedTokens(ops, [4, 1], table, plain);
    embedTokens(ops, [4, 1], table, scaled, 0.25);
    expect(await ops.readback(scaled, 66)).toEqual((await ops.readback(plain, 66)).map((value) => value * 0.25));
  });
});

describe.skipIf(gpuSkip)(`webgpu elementwise${gpuSkip ? ` (${gpuSkip})` : ""}`, () => {
  let gpu: TestGpu;
  let kernels: ElementwiseKernels;
  beforeAll(async () => {
    gpu = await openTestGpu();
    kernels = new ElementwiseKernels(gpu.commands);
  });
  afterAll(() => gpu.dispose());

  it.each([1, 7, 255, 256, 257, 1024])("rms norm of %d columns, in place too", async (cols) => {
    const rows = 3;
    const x = gaussians(1, rows * cols, 3);
    const w = gaussians(2, cols);
    const expected = x.map((value, i) => {
      const row = x.subarray(Math.floor(i / cols) * cols, (Math.floor(i / cols) + 1) * cols);
      const mean = row.reduce((sum, v) => sum + v * v, 0) / cols;
      return (value / Math.sqrt(mean + 1e-6)) * w[i % cols]!;
    });
    const [input, weight, out] = [gpu.upload(x), gpu.upload(w), gpu.allocator.allocate(x.byteLength, "out")];
    kernels.rmsNorm(input, weight, cols, 1e-6, rows, out);
    close(await gpu.readFloats(out, x.length), expected);
    kernels.rmsNorm(input, weight, cols, 1e-6, rows, input);
    close(await gpu.readFloats(input, x.length), expected);
  });

  it.each([1, 63, 256, 1000])("swiglu of width %d", async (width) => {
    const rows = 3;
    const x = gaussians(3, rows * width * 2, 4);
    x[0] = -200;
    const expected = Float64Array.from({ length: rows * width }, (_, at) => {
      const base = Math.floor(at / width) * width * 2 + (at % width);
      return (x[base]! / (1 + Math.exp(-x[base]!))) * x[base + width]!;
    });
    const out = gpu.allocator.allocate(rows * width * 4, "out");
    kernels.swiglu(gpu.upload(x), rows, width, out);
    close(await gpu.readFloats(out, rows * width), expected);
  });

  it("softcap is cap · tanh(x / cap), also where exp overflows", async () => {
    const x = gaussians(5, 300, 20);
    x[0] = 1e30;
    const buffer = gpu.upload(x);
    kernels.softcap(buffer, 299, 6);
    const expected = Float64Array.from(x, (value, i) => (i < 299 ? 6 * Math.tanh(value / 6) : value));
    close(await gpu.readFloats(buffer, 300), expected);
  });

  it("gathers rows", async () => {
    const width = 130;
    const x = gaussians(4, 5 * width);
    const out = gpu.allocator.allocate(3 * width * 4, "out");
    kernels.gatherRows(gpu.upload(x), gpu.upload(Uint32Array.from([9, 4, 0, 2])), 1, 3, width, out);
    const expected = [4, 0, 2].flatMap((row) => [...x.subarray(row * width, (row + 1) * width)]);
    expect([...(await gpu.readFloats(out, 3 * width))]).toEqual(expected);
  });
});
