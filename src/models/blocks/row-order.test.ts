/** @file Heads in the order of halves are turned as their families define it, whatever the order in the checkpoint. */
import { expect, it } from "vitest";
import type { WeightPart } from "../../weights/weight-part.ts";
import { placedRows, placedVector } from "../placed-rows.ts";
import { halfOfHeads, headOrder, splitGroups, splitHeads } from "./row-order.ts";

/** Turns pair i of the first `rotaryDim` coordinates by angle i + 1, as a family defines its pairs. */
function turned(x: readonly number[], rotaryDim: number, isInterleaved: boolean): number[] {
  const out = [...x];
  for (let i = 0; i < rotaryDim / 2; i++) {
    const [a, b] = isInterleaved ? [2 * i, 2 * i + 1] : [i, i + rotaryDim / 2];
    out[a] = x[a]! * Math.cos(i + 1) - x[b]! * Math.sin(i + 1);
    out[b] = x[b]! * Math.cos(i + 1) + x[a]! * Math.sin(i + 1);
  }
  return out;
}

it.each([
  [16, 16, true],
  [16, 8, false],
  [16, 12, false],
  [16, 8, true],
  [24, 6, true],
])("heads of %d, %d turned, interleaved %s", (headDim, rotaryDim, isInterleaved) => {
  const order = headOrder({ headDim, rotaryDim, isInterleaved }, 2)!;
  const places = Array.from({ length: 2 * headDim }, (_, row) => order.place(row));
  expect([...places].sort((a, b) => a - b)).toEqual(places.map((_, i) => i));
  const x = Array.from({ length: headDim }, (_, i) => Math.sin(7 * i + 1));
  const placed: number[] = [];
  for (const [i, value] of x.entries()) placed[order.place(headDim + i) - headDim] = value;
  // Halves of the whole head; pairs beyond those of the family stay.
  const half = headDim / 2;
  const halves = placed.map((value, i) => {
    const pair = i % half;
    if (pair >= rotaryDim / 2) return value;
    const other = placed[(i + half) % headDim]!;
    return value * Math.cos(pair + 1) + (i < half ? -other : other) * Math.sin(pair + 1);
  });
  const expected = turned(x, rotaryDim, isInterleaved);
  for (const [i, value] of expected.entries())
    expect(halves[order.place(headDim + i) - headDim]).toBeCloseTo(value, 12);
});

it("heads that are in order stay, and so do rows behind those of q and k", () => {
  expect(headOrder({ headDim: 8, rotaryDim: 8, isInterleaved: false }, 2)).toBeNull();
  const order = headOrder({ headDim: 8, rotaryDim: 8, isInterleaved: true }, 2)!;
  expect([16, 17, 23].map((row) => order.place(row))).toEqual([16, 17, 23]);
});

it("q, k and v head by head come apart", () => {
  const heads = { headDim: 2, rotaryDim: 2, isInterleaved: false };
  const placesOf = (numHeads: number, numKvHeads: number): number[] => {
    const order = splitHeads(heads, numHeads, numKvHeads);
    return Array.from({ length: (numHeads + 2 * numKvHeads) * 2 }, (_, row) => order.place(row));
  };
  expect(placesOf(2, 2)).toEqual([0, 1, 4, 5, 8, 9, 2, 3, 6, 7, 10, 11]);
  // Two queries, a key and a value of the first KV head, then those of the second.
  expect(placesOf(4, 2)).toEqual([0, 1, 2, 3, 8, 9, 12, 13, 4, 5, 6, 7, 10, 11, 14, 15]);
});

/** A matrix of one column whose values are the numbers of its rows, or with one row a vector of them. */
const numbered = (count: number, isVector: boolean): WeightPart => ({
  ...{ dtype: "f32", rows: isVector ? 1 : count, cols: isVector ? count : 1 },
  data: new Uint8Array(Float32Array.from({ length: count }, (_, i) => i).buffer),
});

/** The rows in their places. */
function rowsIn(order: Parameters<typeof placedRows>[2], count: number, isVector: boolean): number[] {
  const rows: number[] = [];
  const all = numbered(count, isVector);
  for (const { part, row } of isVector ? [placedVector(all, order)] : placedRows(all, 0, order)) {
    const values = new Float32Array(part.data.slice().buffer);
    expect(values).toHaveLength(part.rows * part.cols);
    for (const [i, value] of values.entries()) rows[row + i] = value;
  }
  return rows;
}

it.each([false, true])("queries and gates that alternate head by head are taken apart, vector %s", (isVector) => {
  const heads = { headDim: 4, rotaryDim: 2, isInterleaved: false };
  expect(rowsIn(halfOfHeads(heads, 2, "gate"), 16, isVector)).toEqual([4, 5, 6, 7, 12, 13, 14, 15]);
  // The pair that is turned, (0, 1), becomes the first of each half.
  expect(rowsIn(halfOfHeads(heads, 2, "q"), 16, isVector)).toEqual([0, 2, 1, 3, 8, 10, 9, 11]);
});

it("parts that come group by group are put one after the other", () => {
  expect(rowsIn(splitGroups(2, [2, 2, 4]), 16, false)).toEqual([0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15]);
});
