/**
 * @file Products that every backend goes through. A kernel may be another one for each format, each class of row counts, and for columns
 * that are whole groups of eight; making one takes a software GPU a fifth of a second and more. How a weight is read does not depend on how
 * activations are, so each format meets a class of rows with columns of one kind, and the kinds alternate.
 */
import type { WeightType } from "../../src/backends/ops.ts";
import { weightTypes } from "../../src/weights/registry.ts";

/** Classes of row counts within which no backend changes its kernel, each with its edges. */
const ROWS: readonly (readonly number[])[] = [[1], [2], [3, 4], [5, 6, 7, 8], [9, 33, 64], [65, 129]];

type Columns = "whole" | "cut";

/** [outputs, columns]: one less and one more than groups of 32 and 128, few and many. */
const SHAPES: Readonly<Record<Columns, readonly (readonly [number, number])[]>> = {
  cut: [
    [2, 5],
    [31, 33],
    [33, 31],
    [129, 127],
    [127, 2],
    [1, 129],
    [3, 1],
    [130, 260],
  ],
  whole: [
    [2, 8],
    [32, 32],
    [31, 1000],
    [33, 128],
    [128, 40],
    [1, 264],
  ],
};

export interface LinearGroup {
  readonly type: WeightType;
  readonly rows: readonly number[];
  readonly columns: Columns;
}

/** A single row or column in f32 is a vector, which no product takes. */
export const shapesOf = (columns: Columns, type: WeightType): (readonly [number, number])[] =>
  SHAPES[columns].filter(([outputs, cols]) => type !== "f32" || (outputs > 1 && cols > 1));

/** A kernel of so many rows takes a software GPU seconds. */
const MANY_ROWS = 65;
const TYPES_OF_MANY_ROWS: readonly WeightType[] = ["f16", "q4"];

/** isWhole: every format with every number of rows and both kinds of columns, where kernels cost nothing or are written anew */
export function linearGroups(isWhole: boolean, types: readonly WeightType[] = weightTypes()): LinearGroup[] {
  const groups = types.flatMap((type, t) =>
    ROWS.flatMap((rows, r) =>
      (["cut", "whole"] as const)
        .filter((_, n) => isWhole || (t + r) % 2 === n)
        .map((columns): LinearGroup => ({ type, rows, columns })),
    ),
  );
  return groups.filter(({ type, rows }) => isWhole || rows[0]! < MANY_ROWS || TYPES_OF_MANY_ROWS.includes(type));
}

/** Formats whose kernels the products above need for so many rows and columns of this kind. */
export const STACKS: readonly { types: readonly WeightType[]; rows: number; cols: number }[] = [
  { types: ["q4", "bf16", "q4"], rows: 1, cols: 45 },
  { types: ["q8", "f16", "q8"], rows: 2, cols: 45 },
  { types: ["q4", "bf16", "q4"], rows: 5, cols: 40 },
  { types: ["q4", "bf16", "q4"], rows: 9, cols: 45 },
  { types: ["q8", "f16", "q8"], rows: 9, cols: 40 },
];
