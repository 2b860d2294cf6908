/** @file Products of one or a few rows that compute the norm before them or the gate behind them, beside plain TypeScript in f64. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { gpuSkip } from "../../../test/support/gpu.ts";
import { gaussians, matmul, partOf, relativeError } from "../../../test/support/wasm-backend.ts";
import { gate, normOf, roundWeights } from "../../../test/support/webgpu-linear.ts";
import { tolerance } from "../../../test/tolerances.ts";
import type { Buf, WeightType } from "../ops.ts";
import { StackedWeight } from "../stacked-weight.ts";
import { WebGpuBackend } from "./backend.ts";
import { openDevice } from "./device/open-device.ts";
import type { GpuBuf } from "./queue/buffers.ts";

const EPS = 1e-6;

describe.skipIf(gpuSkip).each([{}, { without: ["subgroups"] as const }])(
  `products of few rows with their neighbours %j${gpuSkip ? ` (${gpuSkip})` : ""}`,
  (options) => {
    let ops: WebGpuBackend;
    beforeAll(async () => {
      // On a CPU products stay alone; here they must not.
      ops = new WebGpuBackend(Object.assign(await openDevice(options), { isSoftware: false }));
    });
    afterAll(() => ops.dispose());

    const upload = (values: Float32Array): Buf => {
      const buf = ops.alloc(values.length) as GpuBuf;
      ops.commands.write(buf.buffer, 0, values);
      return buf;
    };
    const dispatches = (queue: () => void): number => {
      const before = ops.commands.counts.dispatches;
      queue();
      return ops.commands.counts.dispatches - before;
    };

    async function checkAll(type: WeightType, rows: number, cols: number, width: number): Promise<void> {
      const [x, normWeight] = [gaussians(1, rows * cols, 30), gaussians(2, cols)];
      const w = gaussians(3, 2 * width * cols, 0.25);
      const [biases, before] = [gaussians(4, 2 * width), gaussians(5, rows * 2 * width)];
      const rounded = roundWeights(w, cols, type);
      const weight = ops.loadWeight([partOf(w, cols)], type);
      const bias = ops.loadWeight([partOf(biases, 1)], "f32");
      const norm = ops.loadWeight([partOf(normWeight, cols)], "f32");
      const [input, row] = [upload(x), ops.alloc(rows * cols)];
      const [sums, gated] = [upload(before), ops.alloc(rows * width)];
      const taken = dispatches(() => {
        ops.rmsNorm(input, norm, EPS, rows, row);
        ops.linear(row, weight, bias, rows, sums, true);
        expect(ops.gatedLinear(row, weight, rows, gated)).toBe(true);
      });
      expect(taken, "the norm took no dispatch of its own").toBe(2);
      const products = matmul(normOf(x, normWeight), rounded, cols);
      const expected = products.map((value, i) => value + biases[i % (2 * width)]! + before[i]!);
      expect(relativeError(await ops.readback(sums, rows * 2 * width), expected)).toBeLessThan(
        tolerance.linearFloat.max,
      );
      const error = relativeError(await ops.readback(gated, rows * width), gate(products, width));
      expect(error).toBeLessThan(tolerance.linearFloat.max);
      // Without a norm before it.
      const small = upload(x.map((value) => value / 30));
      expect(dispatches(() => ops.gatedLinear(small, weight, rows, gated))).toBe(1);
      const plain = gate(
        matmul(
          x.map((value) => value / 30),
          rounded,
          cols,
        ),
        width,
      );
      expect(relativeError(await ops.readback(gated, rows * width), plain)).toBeLessThan(tolerance.linearFloat.max);
    }

    // The contract (test/contract/linear.ts) has all formats; here the dispatches are counted.
    it("takes a dispatch for a norm and a product, and for a norm and a gated product", async () => {
      await checkAll("f16", 1, 33, 5);
      await checkAll("q4", 3, 2080, 33);
    });

    it("norms the row of a stack of two types, which is never gated", async () => {
      const [cols, width] = [64, 12];
      const [x, normWeight, w] = [gaussians(1, cols, 30), gaussians(2, cols), gaussians(3, 2 * width * cols, 0.25)];
      const norm = ops.loadWeight([partOf(normWeight, cols)], "f32");
      const halves = [w.subarray(0, width * cols), w.subarray(width * cols)];
      const types = ["q4", "q8"] as const;
      const stack = new StackedWeight(types.map((type, i) => ops.loadWeight([partOf(halves[i]!, cols)], type)));
      const [input, row, out] = [upload(x), ops.alloc(cols), ops.alloc(2 * width)];
      const taken = dispatches(() => {
        ops.rmsNorm(input, norm, EPS, 1, row);
        expect(ops.gatedLinear(row, stack, 1, out)).toBe(false);
        ops.linear(row, stack, null, 1, out, false);
      });
      expect(taken).toBe(2);
      const rounded = Float32Array.from(types.flatMap((type, i) => [...roundWeights(halves[i]!, cols, type)]));
      const error = relativeError(await ops.readback(out, 2 * width), matmul(normOf(x, normWeight), rounded, cols));
      expect(error).toBeLessThan(tolerance.linearFloat.max);
    });

    it("computes a norm that something else reads, and refuses one whose input has changed", async () => {
      const cols = 64;
      const [x, normWeight] = [gaussians(1, cols, 3), gaussians(2, cols)];
      const norm = ops.loadWeight([partOf(normWeight, cols)], "f32");
      const weight = ops.loadWeight([partOf(gaussians(3, cols * cols), cols)], "f32");
      const [input, row, out] = [upload(x), ops.alloc(cols), ops.alloc(cols)];
      ops.rmsNorm(input, norm, EPS, 1, row);
      expect(relativeError(await ops.readback(row, cols), normOf(x, normWeight))).toBeLessThan(1e-6);
      // Many rows are normed at once, and a product into its own input takes the norm's result.
      const many = ops.alloc(65 * cols);
      expect(dispatches(() => ops.rmsNorm(many, norm, EPS, 65, ops.alloc(65 * cols)))).toBe(1);
      ops.rmsNorm(input, norm, EPS, 1, row);
      expect(dispatches(() => ops.linear(row, weight, null, 1, input, false))).toBe(2);
      // A result that is written anew is forgotten; one whose input is gone cannot be read.
      ops.rmsNorm(input, norm, EPS, 1, row);
      expect(dispatches(() => ops.linear(out, weight, null, 1, row, false))).toBe(1);
      ops.rmsNorm(input, norm, EPS, 1, row);
      ops.linear(out, weight, null, 1, input, false);
      await expect(ops.readback(row, cols)).rejects.toThrow("changed before its result was read");
      ops.rmsNorm(input, norm, EPS, 1, row);
      await ops.readback(row, cols);
    });
  },
);
