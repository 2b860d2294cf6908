/**
 * @file Weights as small integers in groups of 32 along a row, an f32 scale each: the definition that every backend follows.
 *
 * q8 is symmetric about 0 and leaves −128 out. q4 is the rule of llama.cpp's q4_0: the value of largest magnitude, whichever
 * its sign, becomes −8, so that all sixteen levels are in use. All arithmetic is f32, one rounding an operation.
 */
import type { WeightType } from "./ops.ts";

/** Columns that share a scale. The last group of a row may be shorter. */
export const GROUP = 32;

export type GroupedType = "q8" | "q4";

export const isGrouped = (type: WeightType): type is GroupedType => type === "q8" || type === "q4";

export interface GroupedRows {
  /** [rows][paddedCols] integers: −127 … 127 for q8, −8 … 7 for q4; 0 behind the columns of a row. */
  readonly codes: Int8Array<ArrayBuffer>;
  /** [rows][paddedCols / 32] */
  readonly scales: Float32Array<ArrayBuffer>;
}

/** Columns in whole groups. */
export const paddedCols = (cols: number): number => Math.ceil(cols / GROUP) * GROUP;

/** values: f32 [rows][cols]. A weight is code · scale. */
export function quantizeRows(values: Float32Array, rows: number, cols: number, type: GroupedType): GroupedRows {
  const padded = paddedCols(cols);
  const codes = new Int8Array(rows * padded);
  const scales = new Float32Array((rows * padded) / GROUP);
  for (let r = 0; r < rows; r++) {
    for (let start = 0; start < cols; start += GROUP) {
      const group = values.subarray(r * cols + start, r * cols + Math.min(start + GROUP, cols));
      const at = r * padded + start;
      scales[at / GROUP] = type === "q8" ? q8Group(group, codes, at) : q4Group(group, codes, at);
    }
  }
  return { codes, scales };
}

/** scale = max|w| / 127, code = round-to-even(w · (127 / max|w|)); a group of zeros has scale 0. */
function q8Group(group: Float32Array, codes: Int8Array, at: number): number {
  let peak = 0;
  for (let i = 0; i < group.length; i++) peak = Math.max(peak, Math.abs(group[i]!));
  const inverse = peak === 0 ? 0 : Math.fround(127 / peak);
  for (let i = 0; i < group.length; i++) {
    // Adding and taking away 1.5 · 2^23 rounds to the nearest even integer in f32.
    const scaled = Math.fround(group[i]! * inverse);
    codes[at + i] = Math.fround(scaled + 12582912) - 12582912;
  }
  return peak / 127;
}

/** With m the first value of largest magnitude: scale = m / −8, code = min(15, floor(w · (−8 / m) + 8.5)) − 8. */
function q4Group(group: Float32Array, codes: Int8Array, at: number): number {
  let extreme = 0;
  for (let i = 0; i < group.length; i++) if (Math.abs(group[i]!) > Math.abs(extreme)) extreme = group[i]!;
  if (extreme === 0) return 0;
  const inverse = Math.fround(-8 / extreme);
  for (let i = 0; i < group.length; i++) {
    const level = Math.floor(Math.fround(Math.fround(group[i]! * inverse) + 8.5));
    codes[at + i] = Math.min(15, level) - 8;
  }
  return extreme / -8;
}

/** What a grouped weight holds after rounding, f32 [rows][cols]. */
export function roundToGroups(values: Float32Array, rows: number, cols: number, type: GroupedType): Float32Array {
  const { codes, scales } = quantizeRows(values, rows, cols, type);
  const padded = paddedCols(cols);
  return values.map((_, i) => {
    const at = Math.floor(i / cols) * padded + (i % cols);
    return codes[at]! * scales[Math.floor(at / GROUP)]!;
  });
}
