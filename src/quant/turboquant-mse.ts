/**
 * @file TurboQuant_mse (arXiv 2504.19874, Algorithm 1) for single vectors: rotation, nearest centroids, one scale.
 *
 * The arithmetic is that of a row in a KV page (docs/formats/kv-page.md); `codes` are the row's bytes, plane after plane.
 */
import { TurboQuantError } from "../errors.ts";
import { refuseUnknownOptions } from "../known-options.ts";
import { fromFloat16Bits, toFloat16Bits } from "../math/float16.ts";
import { packCodes, unpackCodes } from "./bit-pack.ts";
import { getCodebook } from "./codebook.ts";
import { createRotation, type Rotation } from "./rotation.ts";
import type { Bits, RotationKind, ScaleRule } from "./rules.ts";
import { sanitize } from "./sanitize.ts";
import { TRELLIS_DISTORTION, TRELLIS_VALUES, trellisPlaces } from "./trellis.ts";
import { VectorQuantizer } from "./vector-quantizer.ts";

export interface TurboQuantMseOptions {
  /** Length of the vectors, a multiple of 8. */
  readonly dimension: number;
  readonly bits: Bits;
  /** Default `norm`, as published. */
  readonly scale?: ScaleRule;
  /** Try nine scales for each vector and keep the codes with the best cosine. Default off, as published. */
  readonly search?: boolean;
  /** Choose values by a trellis (trellis.ts), only with 2 bits. Default off, as published. */
  readonly trellis?: boolean;
  /** Default `hadamard`. */
  readonly rotation?: RotationKind;
  /** Seed of the rotation, below 2^32. Default 0. */
  readonly seed?: number;
}

export interface MseCode {
  /** `bits · dimension / 8` bytes. */
  readonly codes: Uint8Array;
  /** A value that f16 can hold, so it is stored in 2 bytes. */
  readonly scale: number;
}

/** @throws TurboQuantError invalid_argument — a dimension that cannot be packed, or bits out of range */
export function checkShape(op: string, dimension: number, bits: number, minBits: number): void {
  if (!Number.isInteger(dimension) || dimension < 8 || dimension % 8 !== 0) {
    throw new TurboQuantError(
      "invalid_argument",
      `${op}: dimension must be a multiple of 8 from 8 upwards, got ${dimension}; pad or split the vectors`,
      { dimension },
    );
  }
  if (!Number.isInteger(bits) || bits < minBits || bits > 8) {
    throw new TurboQuantError("invalid_argument", `${op}: expected ${minBits} to 8 bits, got ${bits}`, { bits });
  }
}

/** @throws TurboQuantError invalid_argument — not of the expected length */
export function checkLength(what: string, values: { readonly length: number }, expected: number): void {
  if (values.length === expected) return;
  throw new TurboQuantError("invalid_argument", `${what}: expected ${expected} entries, got ${values.length}`, {
    expected,
    got: values.length,
  });
}

const OPTIONS: Readonly<Record<keyof TurboQuantMseOptions, true> & Record<string, true | string>> = {
  dimension: true,
  bits: true,
  scale: true,
  search: true,
  trellis: true,
  rotation: true,
  seed: true,
  dim: "dimension",
  headDim: "dimension",
};

export class TurboQuantMse {
  readonly dimension: number;
  readonly bits: number;
  /** Bytes of a stored vector: codes and the f16 scale. */
  readonly numBytes: number;
  /** Expected ‖x − x̂‖² / ‖x‖² of a randomly rotated vector with the rule `norm` and no search. */
  readonly distortion: number;
  readonly #quantizer: VectorQuantizer;
  readonly #rotation: Rotation | null;
  /** Values for a unit vector, by code or by index in the trellis. */
  readonly #values: Float64Array;
  readonly #isChained: boolean;

  /** @throws TurboQuantError invalid_argument — dimension not a multiple of 8, or bits outside 1–8 */
  constructor(options: TurboQuantMseOptions) {
    refuseUnknownOptions("turboquant-mse", options, OPTIONS);
    const { dimension, bits, scale = "norm", search = false, trellis = false } = options;
    const { rotation = "hadamard", seed = 0 } = options;
    checkShape("turboquant-mse", dimension, bits, 1);
    if (trellis && bits !== 2) {
      throw new TurboQuantError("invalid_argument", `turboquant-mse: a trellis has 2 bits, got ${bits}`, { bits });
    }
    const codebook = getCodebook(dimension, bits);
    this.dimension = dimension;
    this.bits = bits;
    this.numBytes = (bits * dimension) / 8 + 2;
    this.distortion = trellis ? TRELLIS_DISTORTION : codebook.distortion;
    this.#isChained = trellis;
    const root = Math.sqrt(dimension);
    this.#values = trellis ? Float64Array.from(TRELLIS_VALUES, (value) => value / root) : codebook.centroids;
    this.#quantizer = new VectorQuantizer(dimension, bits, scale, search, undefined, trellis);
    this.#rotation = rotation === "none" ? null : createRotation(rotation, dimension, seed);
  }

  /** x: [dimension], not modified; NaN becomes 0, and values beyond ±65504 are clamped */
  quantize(x: Float32Array): MseCode {
    checkLength("turboquant-mse: vector", x, this.dimension);
    const y = x.slice();
    sanitize(y);
    this.#rotation?.apply(y);
    const { scale } = this.#quantizer.quantize(y);
    return { codes: packCodes(this.#quantizer.codes, this.bits), scale: fromFloat16Bits(toFloat16Bits(scale)) };
  }

  /** The decoded vector, [dimension]. */
  dequantize(code: MseCode): Float32Array {
    const y = this.#rotated(code);
    this.#rotation?.invert(y);
    return y;
  }

  /** ⟨query, dequantize(code)⟩ up to rounding, computed in the rotated space. query: [dimension] */
  innerProduct(query: Float32Array, code: MseCode): number {
    checkLength("turboquant-mse: query", query, this.dimension);
    const q = query.slice();
    this.#rotation?.apply(q);
    const y = this.#rotated(code);
    let sum = 0;
    for (let i = 0; i < q.length; i++) sum += q[i]! * y[i]!;
    return sum;
  }

  #rotated({ codes, scale }: MseCode): Float32Array {
    checkLength("turboquant-mse: codes", codes, (this.bits * this.dimension) / 8);
    const places = unpackCodes(codes, this.bits, this.dimension);
    if (this.#isChained) trellisPlaces(places);
    return Float32Array.from(places, (place) => scale * this.#values[place]!);
  }
}
