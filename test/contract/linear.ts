/** @file Contract of `linear` and `gatedLinear`: products by weights of every format, as the reference has them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Ops, Weight, WeightPart, WeightType } from "../../src/backends/ops.ts";
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import { StackedWeight } from "../../src/backends/stacked-weight.ts";
import { definedValues, storedAs } from "../support/stored-weights.ts";
import { download, gaussians, partOf, relativeError, upload } from "../support/wasm-backend.ts";
import { type LinearGroup, STACKS, shapesOf } from "./linear-cases.ts";
import type { Target } from "./target.ts";

/** What lies behind an output has to stay as it is. */
const GUARD = gaussians(9, 64);

interface Product {
  /** Of the weight, in one format or several. */
  readonly parts: readonly WeightPart[];
  readonly x: Float32Array;
  readonly rows: number;
  /** What the output holds before. */
  readonly before: Float32Array;
  readonly bias?: Float32Array | null;
  readonly add?: boolean;
}

const load = (ops: Ops, part: WeightPart): Weight => ops.loadWeight([part], part.dtype);

async function compute(ops: Ops, { parts, x, rows, before, bias, add = false }: Product): Promise<Float32Array> {
  const weights = parts.map((part) => load(ops, part));
  const weight = weights.length > 1 ? new StackedWeight(weights) : weights[0]!;
  const biases = bias ? ops.loadWeight([partOf(bias, 1)], "f32") : null;
  const [from, out] = [upload(ops, x), upload(ops, Float32Array.from([...before, ...GUARD]))];
  ops.linear(from, weight, biases, rows, out, add);
  const values = await download(ops, out);
  for (const buf of [from, out]) ops.free(buf);
  for (const each of biases ? [...weights, biases] : weights) ops.freeWeight(each);
  expect(values.subarray(before.length), "behind the output").toEqual(GUARD);
  return values.subarray(0, before.length);
}

/** What x · w of random signs comes to, over all outputs: √Σ x²w². Outputs that cancel are no measure of what is lost. */
function sizeOf({ parts, x }: Product): number {
  const { cols } = parts[0]!;
  const squares = (values: Float32Array): Float64Array => {
    const sums = new Float64Array(cols);
    for (const [i, value] of values.entries()) sums[i % cols] = sums[i % cols]! + value * value;
    return sums;
  };
  const ofWeight = parts.map((part) => squares(definedValues(part, part.dtype)));
  return Math.sqrt(
    squares(x).reduce((sum, square, i) => sum + ofWeight.reduce((all, w) => all + square * w[i]!, 0), 0),
  );
}

const randomWeight = (type: WeightType, outputs: number, cols: number, seed = 1): WeightPart =>
  storedAs(type, gaussians(seed, outputs * cols, 0.25), cols);

/** groups: which products each format takes part in */
export function linearContract({ open, limits }: Target, groups: readonly LinearGroup[]): void {
  const reference = createReferenceBackend();
  let ops: Ops;
  beforeAll(async () => {
    ops = await open();
  });
  afterAll(() => ops?.dispose());

  async function difference(product: Product): Promise<number> {
    const [actual, expected] = [await compute(ops, product), await compute(reference, product)];
    return Math.sqrt(actual.reduce((sum, value, i) => sum + (value - expected[i]!) ** 2, 0)) / sizeOf(product);
  }

  describe.each(groups)("linear, $type, $rows rows, columns that are $columns", ({ type, rows, columns }) => {
    it("agrees with the reference for any shape, with a bias and added to the output", async () => {
      for (const [n, [outputs, cols]] of shapesOf(columns, type).entries()) {
        const parts = [randomWeight(type, outputs, cols)];
        for (const count of rows) {
          const bias = n % 2 ? gaussians(3, outputs) : null;
          const add = n % 4 > 1;
          const before = gaussians(4, count * outputs);
          const error = await difference({ parts, x: gaussians(2, count * cols), rows: count, before, bias, add });
          expect(error, `${count} rows, ${outputs} outputs of ${cols} columns`).toBeLessThan(
            limits.linear(type, count),
          );
        }
      }
    });
  });

  const types = [...new Set(groups.map(({ type }) => type))];

  it.each(types)("linear, %s: zeros, huge, tiny and not finite numbers stay in their rows", async (type) => {
    const outputs = 33;
    const few = groups.find((group) => group.type === type && group.rows.includes(4))!;
    const cols = few.columns === "whole" ? 128 : 129;
    const parts = [randomWeight(type, outputs, cols)];
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const x = new Float32Array(4 * cols);
      x.set(gaussians(2, cols, 2e7), cols);
      x.set(gaussians(3, cols), 2 * cols);
      x[2 * cols + 1] = bad;
      x.set(gaussians(4, cols, 1e-30), 3 * cols);
      const product = { parts, x, rows: 4, before: gaussians(5, 4 * outputs) };
      const [actual, expected] = [await compute(ops, product), await compute(reference, product)];
      const row = (values: Float32Array, r: number): Float32Array => values.subarray(r * outputs, (r + 1) * outputs);
      expect(row(actual, 0).every((value) => value === 0)).toBe(true);
      expect(row(actual, 2).some(Number.isFinite), `${bad}`).toBe(false);
      for (const r of [1, 3]) {
        expect(relativeError(row(actual, r), row(expected, r)), `row ${r}`).toBeLessThan(limits.linear(type, 4));
      }
    }
  });

  it.each(STACKS.filter((stack) => stack.types.every((type) => types.includes(type))))(
    "linear, a stack of $types beside one another, $rows rows",
    async ({ types, rows, cols }) => {
      const outputs = [8, 5, 9];
      const width = outputs.reduce((sum, count) => sum + count, 0);
      const error = await difference({
        parts: types.map((type, n) => randomWeight(type, outputs[n]!, cols, 10 + n)),
        x: gaussians(2, rows * cols),
        rows,
        before: gaussians(4, rows * width),
        bias: gaussians(3, width),
        add: true,
      });
      expect(error).toBeLessThan(Math.max(...types.map((type) => limits.linear(type, rows))));
    },
  );

  it.each(types)("linear, %s: the norm before a product and the gate behind it, for one row", async (type) => {
    const { columns } = groups.find((group) => group.type === type && group.rows.includes(1))!;
    for (const cols of columns === "whole" ? [40, 2080] : [33, 2083]) {
      const width = 17;
      const [x, norm] = [gaussians(6, cols, 30), gaussians(7, cols)];
      const part = randomWeight(type, 2 * width, cols);
      const results: Float32Array[][] = [];
      for (const each of [ops, reference]) {
        const weight = load(each, part);
        const factors = each.loadWeight([partOf(norm, cols)], "f32");
        const [from, row, sums, gated] = [upload(each, x), each.alloc(cols), each.alloc(2 * width), each.alloc(width)];
        each.rmsNorm(from, factors, 1e-6, 1, row);
        each.linear(row, weight, null, 1, sums, false);
        if (!each.gatedLinear?.(row, weight, 1, gated)) each.swiglu(sums, 1, width, gated);
        results.push([await download(each, row), await download(each, sums), await download(each, gated)]);
        for (const buf of [from, row, sums, gated]) each.free(buf);
        for (const own of [weight, factors]) each.freeWeight(own);
      }
      const [actual, expected] = results as [Float32Array[], Float32Array[]];
      expect(relativeError(actual[0]!, expected[0]!), "norm").toBeLessThan(limits.elementwise());
      for (const n of [1, 2]) {
        expect(relativeError(actual[n]!, expected[n]!), `${n}`).toBeLessThan(2 * limits.linear(type, 1));
      }
    }
  });

  it("linear refuses a vector where a matrix is wanted, a bias of another length, and buffers that are too short", () => {
    const [x, out] = [ops.alloc(8), ops.alloc(8)];
    const matrix = ops.loadWeight([partOf(new Float32Array(4 * 8), 8)], "f32");
    const vector = ops.loadWeight([partOf(new Float32Array(8), 8)], "f32");
    expect(() => ops.linear(x, vector, null, 1, out, false)).toThrow(/expected a matrix, got a vector/);
    expect(() => ops.linear(x, matrix, vector, 1, out, false)).toThrow(/one value a row/);
    expect(() => ops.linear(x, matrix, null, 2, out, false)).toThrow(/linear: 16 values do not fit the buffer/);
    expect(() => ops.linear(ops.alloc(64), matrix, null, 3, out, false)).toThrow(/linear: 12 values do not fit/);
  });
}
