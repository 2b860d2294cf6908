/**
 * @file ggml's q4_0 after a rotation: blocks of 32 in int4 with an f16 scale, where −8 is the value of largest magnitude.
 * llama.cpp does this to a quantized cache since #21038. A baseline, and a type of KV page (docs/formats/kv-page.md, step 6).
 */
import { refuseUnknownOptions } from "../../known-options.ts";
import { toFloat16Bits } from "../../math/float16.ts";
import { packCodes, unpackCodes } from "../bit-pack.ts";
import { createRotation, type Rotation } from "../rotation.ts";
import type { RotationKind } from "../rules.ts";
import { clampToFloat16, sanitize } from "../sanitize.ts";
import { checkLength, checkShape } from "../turboquant-mse.ts";
import { BLOCK, type BlockCode, dequantizeBlocks, extremeOf } from "./blocks.ts";

/** The code of the value 0. */
export const Q4_ZERO = 8;

/** x: [n], already rotated, finite · codes: [n], one in a byte · scales: f16 bits, [ceil(n / 32)] */
export function quantizeQ4(x: Float32Array, codes: Uint8Array, scales: Uint16Array): void {
  for (let start = 0; start < x.length; start += BLOCK) {
    const end = Math.min(start + BLOCK, x.length);
    const extreme = extremeOf(x, start, end);
    scales[start / BLOCK] = toFloat16Bits(clampToFloat16(Math.fround(extreme / -8)));
    const inverse = extreme === 0 ? 0 : Math.fround(-8 / extreme);
    for (let i = start; i < end; i++) {
      codes[i] = Math.min(15, Math.floor(Math.fround(Math.fround(x[i]! * inverse) + 8.5)));
    }
  }
}

export interface RotatedQ4Options {
  /** Length of the vectors, a multiple of 8. */
  readonly dimension: number;
  /** Default `hadamard`; `none` gives ggml's q4_0 itself. */
  readonly rotation?: RotationKind;
  /** Seed of the rotation, below 2^32. Default 0. */
  readonly seed?: number;
}

export class RotatedQ4Codec {
  readonly dimension: number;
  /** Bytes of a stored vector: codes and scales. */
  readonly numBytes: number;
  readonly #rotation: Rotation | null;

  /** @throws TurboQuantError invalid_argument — dimension not a multiple of 8 */
  constructor(options: RotatedQ4Options) {
    refuseUnknownOptions("q4_0r", options, { dimension: true, rotation: true, seed: true, dim: "dimension" });
    const { dimension, rotation = "hadamard", seed = 0 } = options;
    checkShape("q4_0r", dimension, 4, 4);
    this.dimension = dimension;
    this.numBytes = dimension / 2 + 2 * Math.ceil(dimension / BLOCK);
    this.#rotation = rotation === "none" ? null : createRotation(rotation, dimension, seed);
  }

  /** x: [dimension], not modified; NaN becomes 0, and values beyond ±65504 are clamped */
  quantize(x: Float32Array): BlockCode {
    checkLength("q4_0r: vector", x, this.dimension);
    const y = x.slice();
    sanitize(y);
    this.#rotation?.apply(y);
    const codes = new Uint8Array(this.dimension);
    const scales = new Uint16Array(Math.ceil(this.dimension / BLOCK));
    quantizeQ4(y, codes, scales);
    return { codes: packCodes(codes, 4), scales };
  }

  /** The decoded vector, [dimension]. */
  dequantize({ codes, scales }: BlockCode): Float32Array {
    checkLength("q4_0r: codes", codes, this.dimension / 2);
    checkLength("q4_0r: scales", scales, Math.ceil(this.dimension / BLOCK));
    const out = new Float32Array(this.dimension);
    dequantizeBlocks(unpackCodes(codes, 4, this.dimension), scales, Q4_ZERO, out);
    this.#rotation?.invert(out);
    return out;
  }
}
