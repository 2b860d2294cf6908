import { expect, it } from "vitest";
import { bytesOf } from "../weights/elements.ts";
import { floatRows, type WeightPart } from "../weights/weight-part.ts";
import { headOrder, splitHeads } from "./blocks/row-order.ts";
import { placedRows, placedVector, scaledPart } from "./placed-rows.ts";

const partOf = (rows: number, cols: number, value: (row: number, col: number) => number): WeightPart => ({
  dtype: "f32",
  rows,
  cols,
  data: bytesOf(Float32Array.from({ length: rows * cols }, (_, i) => value(Math.floor(i / cols), i % cols))),
});

it("rows of a matrix go to their places, in one part where these are beside each other", () => {
  const order = headOrder({ headDim: 4, rotaryDim: 4, isInterleaved: true }, 2)!;
  const placed = placedRows(
    partOf(8, 2, (row) => 16 + row),
    16,
    order,
  );
  expect(placed.map(({ row, part }) => [row, part.rows])).toEqual([[16, 8]]);
  // Beyond the two heads nothing moves.
  expect([...floatRows(placed[0]!.part, 0, 8)]).toEqual([
    16, 16, 17, 17, 18, 18, 19, 19, 20, 20, 21, 21, 22, 22, 23, 23,
  ]);
  const [first] = placedRows(
    partOf(4, 1, (row) => row),
    0,
    order,
  );
  expect([...floatRows(first!.part, 0, 4)]).toEqual([0, 2, 1, 3]);
});

it("rows of heads that come apart are several parts, a vector is one", () => {
  const order = splitHeads({ headDim: 2, rotaryDim: 2, isInterleaved: false }, 2, 2);
  const placed = placedRows(
    partOf(12, 3, (row) => row),
    0,
    order,
  );
  expect(placed.map(({ row, part }) => [row, part.data.length / 12])).toEqual([
    [0, 2],
    [4, 2],
    [8, 2],
    [2, 2],
    [6, 2],
    [10, 2],
  ]);
  const vector = placedVector(
    partOf(1, 12, (_, col) => col),
    order,
  );
  expect([...floatRows(vector.part, 0, 1)]).toEqual([0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]);
});

it("the one row that a piece of a matrix has is no vector", () => {
  const reversed = { unit: 1, place: (row: number) => 9 - row };
  const [placed] = placedRows(
    partOf(1, 3, (_, col) => col),
    9,
    reversed,
  );
  expect([placed!.row, ...floatRows(placed!.part, 0, 1)]).toEqual([0, 0, 1, 2]);
});

it("a vector may get more values, which are zeros", () => {
  const { part, row } = placedVector(
    partOf(1, 2, (_, col) => col + 1),
    { unit: 2, numRows: 5, place: (from) => 3 * from },
  );
  expect([row, part.cols, ...floatRows(part, 0, 1)]).toEqual([0, 5, 1, 0, 0, 2, 0]);
});

it("what is added, and a factor, give f32", () => {
  expect([
    ...floatRows(
      scaledPart(
        partOf(1, 3, (_, col) => col),
        0.25,
        1,
      ),
      0,
      1,
    ),
  ]).toEqual([0.25, 0.5, 0.75]);
});
