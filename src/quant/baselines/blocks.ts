/** @file What the block formats share: integers around a zero point, one f16 scale for each 32 coordinates. */
import { fromFloat16Bits } from "../../math/float16.ts";

/** Coordinates that share a scale. */
export const BLOCK = 32;

/** A stored vector; the last block may be shorter than 32. */
export interface BlockCode {
  /** Packed. */
  readonly codes: Uint8Array;
  /** f16 bits, one a block. */
  readonly scales: Uint16Array;
}

/** The entry of largest magnitude in x[start .. end), the first on ties; 0 when all are. */
export function extremeOf(x: Float32Array, start: number, end: number): number {
  let extreme = 0;
  for (let i = start; i < end; i++) if (Math.abs(x[i]!) > Math.abs(extreme)) extreme = x[i]!;
  return extreme;
}

/** out[i] = (codes[i] − zero) · scale of its block. codes: one a byte, [n] · scales: f16 bits, [ceil(n / 32)] · out: [n] */
export function dequantizeBlocks(codes: Uint8Array, scales: Uint16Array, zero: number, out: Float32Array): void {
  for (let start = 0; start < out.length; start += BLOCK) {
    const scale = fromFloat16Bits(scales[start / BLOCK]!);
    const end = Math.min(start + BLOCK, out.length);
    for (let i = start; i < end; i++) out[i] = (codes[i]! - zero) * scale;
  }
}
