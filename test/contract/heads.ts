/** @file Contract of products of heads with rows of a matrix that are their own. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type HeadProduct, outputWidthOf } from "../../src/backends/head-product.ts";
import type { Ops } from "../../src/backends/ops.ts";
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import { weightFormat } from "../../src/weights/registry.ts";
import { isPlain } from "../../src/weights/weight-format.ts";
import { storedAs } from "../support/stored-weights.ts";
import { download, gaussians, partOf, relativeError, upload, WEIGHT_TYPES } from "../support/wasm-backend.ts";
import type { Target } from "./target.ts";

interface HeadCase extends HeadProduct {
  readonly cols: number;
  /** More than share a row of the matrix; as few as one. */
  readonly rows: readonly number[];
}

const CASES: readonly HeadCase[] = [
  { numHeads: 3, headRows: 20, first: 0, count: 12, isTransposed: true, inputWidth: 20, cols: 40, rows: [1, 19] },
  { numHeads: 3, headRows: 20, first: 12, count: 7, isTransposed: false, inputWidth: 40, cols: 40, rows: [1, 19] },
  { numHeads: 2, headRows: 16, first: 0, count: 16, isTransposed: false, inputWidth: 14, cols: 8, rows: [1, 5] },
  { numHeads: 1, headRows: 5, first: 0, count: 5, isTransposed: true, inputWidth: 5, cols: 520, rows: [2] },
  { numHeads: 3, headRows: 11, first: 0, count: 6, isTransposed: true, inputWidth: 9, cols: 20, rows: [1, 5] },
  { numHeads: 3, headRows: 11, first: 6, count: 5, isTransposed: false, inputWidth: 20, cols: 20, rows: [1, 5] },
  { numHeads: 2, headRows: 3, first: 1, count: 2, isTransposed: true, inputWidth: 2, cols: 3, rows: [2] },
  { numHeads: 2, headRows: 3, first: 1, count: 2, isTransposed: false, inputWidth: 13, cols: 13, rows: [2] },
  { numHeads: 2, headRows: 70, first: 0, count: 70, isTransposed: false, inputWidth: 8, cols: 8, rows: [3] },
];

async function results(ops: Ops, c: HeadCase, type: (typeof WEIGHT_TYPES)[number]): Promise<Float32Array[]> {
  const values = gaussians(1, c.numHeads * c.headRows * c.cols);
  // The reference keeps floats as they are, so these are rounded before.
  const part = isPlain(weightFormat(type)) ? storedAs(type, values, c.cols) : partOf(values, c.cols);
  const w = ops.loadWeight([part], type);
  const all: Float32Array[] = [];
  for (const rows of c.rows) {
    const x = upload(ops, gaussians(2, rows * c.numHeads * c.inputWidth));
    const out = ops.alloc(rows * c.numHeads * outputWidthOf(c, c.cols));
    ops.multiplyHeads(x, w, c, rows, out);
    all.push(await download(ops, out));
    for (const buf of [x, out]) ops.free(buf);
  }
  ops.freeWeight(w);
  return all;
}

export function headsContract({ open, limits }: Target, types = WEIGHT_TYPES): void {
  const reference = createReferenceBackend();
  let ops: Ops;
  beforeAll(async () => {
    ops = await open();
  });
  afterAll(() => ops?.dispose());

  describe.each(types)("products of heads, %s", (type) => {
    it.each(CASES)("$numHeads heads, $count rows of $cols, transposed $isTransposed", async (c) => {
      const expected = await results(reference, c, type);
      for (const [i, actual] of (await results(ops, c, type)).entries()) {
        expect(relativeError(actual, expected[i]!)).toBeLessThan(limits.elementwise());
      }
    });
  });
}
