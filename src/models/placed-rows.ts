/** @file Rows of a tensor on their way to other places, and vectors times a factor. */
import { bytesOf } from "../weights/elements.ts";
import { weightFormat } from "../weights/registry.ts";
import { rowBytes } from "../weights/weight-format.ts";
import { floatRows, type WeightPart } from "../weights/weight-part.ts";
import type { RowOrder } from "./blocks/row-order.ts";

export interface PlacedPart {
  readonly part: WeightPart;
  /** Of the part's first row in the tensor. */
  readonly row: number;
}

/**
 * The part's rows in their places, without those that are left out, as few parts as they can be written in.
 *
 * part: whole units, from row `firstRow` of the tensor on
 */
export function placedRows(part: WeightPart, firstRow: number, { unit, place }: RowOrder): PlacedPart[] {
  const count = part.rows;
  const bytes = rowBytes(weightFormat(part.dtype), part.cols);
  const data = new Uint8Array(count * bytes);
  /** Units that are beside each other in their places too: rows [from, to) of the part, and where the first of them goes. */
  const runs: { readonly from: number; to: number; readonly row: number }[] = [];
  for (let from = 0; from < count; from += unit) {
    const first = place(firstRow + from);
    if (first < 0) continue;
    const start = first - (first % unit);
    for (let i = 0; i < unit; i++) {
      const to = from + place(firstRow + from + i) - start;
      data.set(part.data.subarray((from + i) * bytes, (from + i + 1) * bytes), to * bytes);
    }
    const last = runs.at(-1);
    if (last && last.to === from && last.row + last.to - last.from === start) last.to = from + unit;
    else runs.push({ from, to: from + unit, row: start });
  }
  return runs.map(({ from, to, row }) => ({
    part: { ...part, rows: to - from, data: data.subarray(from * bytes, to * bytes) },
    row,
  }));
}

/** A vector, one row of values that change places; zeros are where none goes. */
export function placedVector(part: WeightPart, { place, numRows = part.cols }: RowOrder): PlacedPart {
  const bytes = rowBytes(weightFormat(part.dtype), part.cols) / part.cols;
  const data = new Uint8Array(numRows * bytes);
  for (let from = 0; from < part.cols; from++) {
    const to = place(from);
    if (to >= 0) data.set(part.data.subarray(from * bytes, (from + 1) * bytes), to * bytes);
  }
  return { part: { ...part, cols: numRows, data }, row: 0 };
}

/** (value + offset) · scale for the values of a vector, as f32. */
export function scaledPart(part: WeightPart, scale: number, offset: number): WeightPart {
  const values = floatRows(part, 0, part.rows).map((value) => (value + offset) * scale);
  return { ...part, dtype: "f32", data: bytesOf(values) };
}
