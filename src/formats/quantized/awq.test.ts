/** @file AWQ in the layouts of its kernels for single rows; the layout of many rows is in quantized.test.ts. */
import { describe, expect, it } from "vitest";
import { pack, type Tensors } from "../../../test/support/quantized-file.ts";
import {
  affine,
  COLS,
  code,
  GROUP,
  GROUPS,
  halves,
  ROWS,
  readQuantized,
  scale,
  zero,
} from "../../../test/support/quantized-grid.ts";

/** Values of an array of this shape with its axes in another order. */
function reordered(values: readonly number[], shape: readonly number[], axes: readonly number[]): number[] {
  const steps = shape.map((_, axis) => shape.slice(axis + 1).reduce((a, b) => a * b, 1));
  return values.map((_, i) => {
    let [rest, at] = [i, 0];
    for (const axis of axes.toReversed()) {
      at += (rest % shape[axis]!) * steps[axis]!;
      rest = Math.floor(rest / shape[axis]!);
    }
    return values[at]!;
  });
}

describe("awq, in the layouts of its kernels for single rows", () => {
  const config = (version: string, more: object = {}) => ({
    quantization_config: { quant_method: "awq", bits: 4, group_size: GROUP, version, ...more },
  });
  /** Groups in whole words, and four words at a time for groups of 32. */
  const PLACES = 32;
  const padded = (value: (r: number, g: number) => number) => (r: number, g: number) => (g < GROUPS ? value(r, g) : 0);
  const gemv: Tensors = {
    "a.qweight": { dtype: "I32", shape: [ROWS, COLS / 8], data: pack(ROWS, COLS, 4, code(4)) },
    "a.qzeros": { dtype: "I32", shape: [ROWS, PLACES / 8], data: pack(ROWS, PLACES, 4, padded(zero(4))) },
    "a.scales": {
      dtype: "F16",
      shape: [ROWS, PLACES],
      data: halves(Array.from({ length: ROWS * PLACES }, (_, i) => padded(scale)(Math.floor(i / PLACES), i % PLACES))),
    },
  };

  it("gemv", async () => {
    expect(await readQuantized(config("GEMV"), gemv)).toMatchObject({
      dtype: "q4",
      shape: [ROWS, COLS],
      out: affine(4),
    });
  });

  it("gemv_fast, packed by AutoAWQ's steps: axes of runs of 32 and of 8 inputs, and of four outputs, change places", async () => {
    const rows = Array.from({ length: ROWS * COLS }, (_, i) => code(4)(Math.floor(i / COLS), i % COLS));
    const pairs = reordered(rows, [rows.length / 32, 4, 4, 2], [0, 2, 1, 3]);
    const halved = reordered(pairs, [rows.length / 8, 4, 2], [0, 2, 1]);
    const fours = reordered(halved, [ROWS / 4, 4, COLS / 64, 64], [0, 2, 1, 3]);
    const words = new Int16Array(rows.length / 4);
    for (const [i, value] of fours.entries()) words[i >> 2] = words[i >> 2]! | (value << (4 * (i & 3)));
    const lines = (value: (r: number, g: number) => number): Uint16Array =>
      halves(Array.from({ length: PLACES * ROWS }, (_, i) => padded(value)(i % ROWS, Math.floor(i / ROWS))));
    const fast: Tensors = {
      "a.qweight": { dtype: "I16", shape: [ROWS / 4, COLS], data: words },
      "a.scales": { dtype: "F16", shape: [PLACES, ROWS], data: lines(scale) },
      "a.scaled_zeros": {
        dtype: "F16",
        shape: [PLACES, ROWS],
        data: lines((r, g) => -scale(r, g) * zero(4)(r, g)),
      },
    };
    expect(await readQuantized(config("gemv_fast"), fast)).toMatchObject({ dtype: "q4", out: affine(4) });
  });

  it.each<[string, object, RegExp]>([
    [
      "another layout",
      config("marlin"),
      /a\.qweight: quantization_config\.version: expected gemm or gemv or gemv_fast, got "marlin"/,
    ],
    ["a layout of other tensors", config("gemv_fast"), /a\.scaled_zeros: expected it beside qweight, qzeros, scales/],
    ["a layout of other shapes", config("gemm"), /a\.qweight: expected \[8,4\]/],
    ["other groups", config("gemv", { group_size: 64 }), /a\.scales: expected \[8,16\] for 64 inputs in groups of 64/],
    [
      "groups that no kernel has",
      config("gemv", { group_size: 16 }),
      /a\.scales: expected whole groups of 32, 64 or from 128 on/,
    ],
    ["three bits", config("gemv", { bits: 3 }), /a\.qweight: expected 4 bits, got 3/],
    ["eight bits", config("gemm", { bits: 8 }), /a\.qweight: expected 4 bits, got 8/],
  ])("refuses %s", async (_, settings, message) => {
    await expect(readQuantized(settings, gemv)).rejects.toThrow(message);
  });
});
