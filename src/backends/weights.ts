/** @file Checkpoint bytes of a weight, stacked and widened to f32. */
import { TurboQuantError } from "../errors.ts";
import { fromBfloat16Bits, fromFloat16Bits } from "../math/float16.ts";
import type { WeightPart } from "./ops.ts";

/** Bytes of one element of a stored dtype. */
export const DTYPE_BYTES = { f32: 4, f16: 2, bf16: 2 } as const;

/** Rows and columns of the stacked matrix. @throws TurboQuantError invalid_argument — columns differ or bytes do not match */
export function stackedShape(parts: readonly WeightPart[]): { rows: number; cols: number } {
  const cols = parts[0]?.cols ?? 0;
  let rows = 0;
  for (const part of parts) {
    const expected = part.rows * part.cols * DTYPE_BYTES[part.dtype];
    if (part.cols !== cols || part.data.byteLength !== expected) {
      throw new TurboQuantError(
        "invalid_argument",
        `weight: expected ${part.rows}x${cols} ${part.dtype} in ${expected} bytes, got ${part.cols} columns in ${part.data.byteLength} bytes`,
      );
    }
    rows += part.rows;
  }
  return { rows, cols };
}

/** All parts below each other as f32 [rows][cols]. */
export function stackParts(parts: readonly WeightPart[]): { rows: number; cols: number; data: Float32Array } {
  const { rows, cols } = stackedShape(parts);
  const data = new Float32Array(rows * cols);
  let at = 0;
  for (const part of parts) {
    const count = part.rows * part.cols;
    const view = new DataView(part.data.buffer, part.data.byteOffset, part.data.byteLength);
    for (let i = 0; i < count; i++) {
      data[at + i] =
        part.dtype === "f32"
          ? view.getFloat32(i * 4, true)
          : part.dtype === "f16"
            ? fromFloat16Bits(view.getUint16(i * 2, true))
            : fromBfloat16Bits(view.getUint16(i * 2, true));
    }
    at += count;
  }
  return { rows, cols, data };
}
