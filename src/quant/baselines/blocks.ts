/** @file The common part of the block formats: integers around a zero point, with one f16 scale for each 32 coordinates. */
import { fromFloat16Bits } from "../../math/float16.ts";

/** Coordinates that share a scale. */
export const BLOCK = 32;

/** A stored vector; the last block may be shorter than 32. */
export interface BlockCode {
  /** Packed bits. */
  readonly codes: Uint8Array;
  /** f16 bits, one scale for each block. */
  readonly scales: Uint16Array;
}

/** The value of largest magnitude in x[start .. end), the first one on ties; 0 when all are 0. */
export function extremeOf(x: Float32Array, start: number, end: number): number {
  let extreme = 0;
  for (let i = start; i < end; i++) if (Math.abs(x[i]!) > Math.abs(extreme)) extreme = x[i]!;
  return extreme;
}

/** Writes out[i] = (codes[i] − zero) · scale of its block. codes: [n], one in a byte · scales: f16 bits, [ceil(n / 32)] · out: [n] */
export function dequantizeBlocks(codes: Uint8Array, scales: Uint16Array, zero: number, out: Float32Array): void {
  for (let start = 0; start < out.length; start += BLOCK) {
    const scale = fromFloat16Bits(scales[start / BLOCK]!);
    const end = Math.min(start + BLOCK, out.length);
    for (let i = start; i < end; i++) out[i] = (codes[i]! - zero) * scale;
  }
}
