/**
 * @file Rows of quantized weights as formats of ours hold them: affine int4 and int8 code by code, anything else by way of
 * floats.
 */
import { toFloat16Bits } from "../../math/float16.ts";
import { GROUP } from "../../weights/groups.ts";
import { type WeightType, weightFormat } from "../../weights/registry.ts";
import { rowBytes } from "../../weights/weight-format.ts";
import type { ReadableWeight } from "./scheme.ts";

/** One row of four-bit codes: value = scale · code + minimum. */
export interface AffineRow {
  /** [inputs], 0 to 15 */
  readonly codes: Uint8Array;
  /** One for each `group` inputs. */
  readonly scales: Float32Array;
  readonly minimums: Float32Array;
}

/** Whether groups of so many inputs are made of whole blocks of ours. */
export const isWholeBlocks = (cols: number, group: number): boolean => cols % GROUP === 0 && group % GROUP === 0;

/** Four-bit codes as q4: the codes as they are, scale and minimum in f16 (a relative error of 2^-11 where they are not). */
export function affineWeight(
  shape: readonly [number, number],
  group: number,
  open: () => Promise<(row: number, into: AffineRow) => void>,
): ReadableWeight {
  const dtype: WeightType = "q4";
  return {
    dtype,
    shape,
    async read() {
      const [rows, cols] = shape;
      const fill = await open();
      const groups = Math.ceil(cols / group);
      const row = { codes: new Uint8Array(cols), scales: new Float32Array(groups), minimums: new Float32Array(groups) };
      const out = new Uint8Array(rows * rowBytes(weightFormat(dtype), cols));
      const view = new DataView(out.buffer);
      for (let r = 0, at = 0; r < rows; r++) {
        fill(r, row);
        for (let start = 0; start < cols; start += GROUP, at += 20) {
          const g = Math.floor(start / group);
          view.setUint16(at, toFloat16Bits(row.scales[g]!), true);
          view.setUint16(at + 2, toFloat16Bits(row.minimums[g]!), true);
          for (let i = 0; i < 16; i++) out[at + 4 + i] = row.codes[start + i]! | (row.codes[start + i + 16]! << 4);
        }
      }
      return out;
    },
  };
}

/** int8 codes of a row and the scale of each `group` inputs, as q8: exactly. */
export function int8Weight(
  shape: readonly [number, number],
  group: number,
  open: () => Promise<{ codes: Int8Array; scaleOf: (row: number, group: number) => number }>,
): ReadableWeight {
  return {
    dtype: "q8",
    shape,
    async read() {
      const [rows, cols] = shape;
      const { codes, scaleOf } = await open();
      const out = new Uint8Array(rows * rowBytes(weightFormat("q8"), cols));
      const view = new DataView(out.buffer);
      const bytes = new Int8Array(out.buffer);
      for (let r = 0, at = 0; r < rows; r++) {
        for (let start = 0; start < cols; start += GROUP, at += 4 + GROUP) {
          view.setFloat32(at, scaleOf(r, Math.floor(start / group)), true);
          bytes.set(codes.subarray(r * cols + start, r * cols + Math.min(cols, start + GROUP)), at + 4);
        }
      }
      return out;
    },
  };
}

/** Values of a row as q8: rounded to 8 bits in groups of 32. */
export function roundedWeight(
  shape: readonly [number, number],
  open: () => Promise<(row: number, out: Float32Array) => void>,
): ReadableWeight {
  return {
    dtype: "q8",
    shape,
    async read() {
      const [rows, cols] = shape;
      const fill = await open();
      const format = weightFormat("q8");
      const bytes = rowBytes(format, cols);
      const values = new Float32Array(cols);
      const out = new Uint8Array(rows * bytes);
      for (let r = 0; r < rows; r++) {
        fill(r, values);
        out.set(format.quantize!(values, 1, cols), r * bytes);
      }
      return out;
    },
  };
}
