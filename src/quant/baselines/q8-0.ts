/**
 * @file ggml's q8_0: blocks of 32 in int8 with an f16 scale, not rotated. A baseline, and a type of KV page
 * (docs/formats/kv-page.md, step 6), where codes are value + 128.
 */
import { toFloat16Bits } from "../../math/float16.ts";
import { sanitize } from "../sanitize.ts";
import { checkLength, checkShape } from "../turboquant-mse.ts";
import { BLOCK, type BlockCode, dequantizeBlocks, extremeOf } from "./blocks.ts";

/** The code of the value 0. */
export const Q8_ZERO = 128;

/** Rounds half to even, like f32x4.nearest. */
function nearestEven(x: number): number {
  const floor = Math.floor(x);
  const fraction = x - floor;
  if (fraction < 0.5) return floor;
  if (fraction > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** x: [n], finite · codes: [n], one in a byte · scales: f16 bits, [ceil(n / 32)] */
export function quantizeQ8(x: Float32Array, codes: Uint8Array, scales: Uint16Array): void {
  for (let start = 0; start < x.length; start += BLOCK) {
    const end = Math.min(start + BLOCK, x.length);
    const largest = Math.abs(extremeOf(x, start, end));
    scales[start / BLOCK] = toFloat16Bits(Math.fround(largest / 127));
    const inverse = largest === 0 ? 0 : Math.fround(127 / largest);
    for (let i = start; i < end; i++) codes[i] = nearestEven(Math.fround(x[i]! * inverse)) + Q8_ZERO;
  }
}

export class Q8Codec {
  readonly dimension: number;
  /** Bytes of a stored vector: codes and scales. */
  readonly numBytes: number;

  /** @throws TurboQuantError invalid_argument — dimension not a multiple of 8 */
  constructor(dimension: number) {
    checkShape("q8_0", dimension, 8, 8);
    this.dimension = dimension;
    this.numBytes = dimension + 2 * Math.ceil(dimension / BLOCK);
  }

  /** x: [dimension], not modified; NaN becomes 0, and values beyond ±65504 are clamped */
  quantize(x: Float32Array): BlockCode {
    checkLength("q8_0: vector", x, this.dimension);
    const clean = x.slice();
    sanitize(clean);
    const codes = new Uint8Array(this.dimension);
    const scales = new Uint16Array(Math.ceil(this.dimension / BLOCK));
    quantizeQ8(clean, codes, scales);
    return { codes, scales };
  }

  /** The decoded vector, [dimension]. */
  dequantize({ codes, scales }: BlockCode): Float32Array {
    checkLength("q8_0: codes", codes, this.dimension);
    checkLength("q8_0: scales", scales, Math.ceil(this.dimension / BLOCK));
    const out = new Float32Array(this.dimension);
    dequantizeBlocks(codes, scales, Q8_ZERO, out);
    return out;
  }
}
