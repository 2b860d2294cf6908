/**
 * @file TurboQuant_prod (arXiv 2504.19874, Algorithm 2): codes with one bit less, and a 1-bit sketch (QJL, arXiv 2406.03482) of
 * their residual, which makes inner products unbiased.
 *
 * At equal bits its variance is larger than the squared error of TurboQuant_mse: π/2 times that of its own (bits−1)-bit stage
 * with Gaussian projections, and about 0.57 times with orthogonal ones.
 */
import { TurboQuantError } from "../errors.ts";
import { refuseUnknownOptions } from "../known-options.ts";
import { dot4 } from "../math/dot.ts";
import { fromFloat16Bits, toFloat16Bits } from "../math/float16.ts";
import { packCodes, unpackCodes } from "./bit-pack.ts";
import { getCodebook } from "./codebook.ts";
import { type Projection, projectionMatrix, sketchFactor } from "./qjl.ts";
import { createRotation, type Rotation } from "./rotation.ts";
import type { Bits, RotationKind } from "./rules.ts";
import { MAX_FLOAT16, sanitize } from "./sanitize.ts";
import { checkLength, checkShape } from "./turboquant-mse.ts";
import { VectorQuantizer } from "./vector-quantizer.ts";

export interface TurboQuantProdOptions {
  /** Length of the vectors, a multiple of 8. */
  readonly dimension: number;
  /** Bits in total, 2–8, of which the sketch gets one. */
  readonly bits: Bits;
  /** Default `gaussian`, as published. */
  readonly projection?: Projection;
  /** Bits of the sketch, a multiple of 8; orthogonal ones at most `dimension`. Default `dimension`, as published. */
  readonly projections?: number;
  /** Default `hadamard`. */
  readonly rotation?: RotationKind;
  /** Seed of rotation and projection, below 2^32. Default 0. */
  readonly seed?: number;
}

export interface ProdCode {
  /** `(bits − 1) · dimension / 8` bytes. */
  readonly codes: Uint8Array;
  /** Norm of the vector, rounded to f16. */
  readonly norm: number;
  /** Signs of the projected residual, `projections / 8` bytes; 1 means not negative. */
  readonly signs: Uint8Array;
  /** Norm of the residual, rounded to f16. */
  readonly residualNorm: number;
}

/** What `innerProduct` needs of a query; compute it once for many codes. */
export interface PreparedQuery {
  readonly rotated: Float32Array;
  readonly projected: Float32Array;
}

function checkProjections(kind: Projection, projections: number, dimension: number): void {
  const most = kind === "orthogonal" ? dimension : Number.MAX_SAFE_INTEGER;
  if (Number.isInteger(projections) && projections >= 8 && projections % 8 === 0 && projections <= most) return;
  throw new TurboQuantError(
    "invalid_argument",
    `turboquant-prod: projections: expected a multiple of 8 from 8${kind === "orthogonal" ? ` to ${dimension}` : " upwards"}, got ${projections}`,
    { projections, dimension },
  );
}

const asFloat16 = (x: number): number => fromFloat16Bits(toFloat16Bits(Math.min(MAX_FLOAT16, x)));

const OPTIONS: Readonly<Record<keyof TurboQuantProdOptions, true> & Record<string, true | string>> = {
  dimension: true,
  bits: true,
  projection: true,
  projections: true,
  rotation: true,
  seed: true,
  dim: "dimension",
  headDim: "dimension",
};

export class TurboQuantProd {
  readonly dimension: number;
  readonly bits: number;
  readonly projection: Projection;
  readonly projections: number;
  /** Bytes of a stored vector: codes, signs and two f16 norms. */
  readonly numBytes: number;
  readonly #quantizer: VectorQuantizer;
  readonly #rotation: Rotation | null;
  readonly #matrix: Float32Array;
  readonly #factor: number;
  readonly #centroids: Float64Array;

  /** @throws TurboQuantError invalid_argument — dimension not a multiple of 8, or bits outside 2–8 */
  constructor(options: TurboQuantProdOptions) {
    refuseUnknownOptions("turboquant-prod", options, OPTIONS);
    const { dimension, bits, projection = "gaussian", rotation = "hadamard", seed = 0 } = options;
    checkShape("turboquant-prod", dimension, bits, 2);
    const { projections = dimension } = options;
    checkProjections(projection, projections, dimension);
    this.dimension = dimension;
    this.projections = projections;
    this.bits = bits;
    this.projection = projection;
    this.numBytes = ((bits - 1) * dimension + projections) / 8 + 4;
    // The codes have the norm as their scale; with any other scale, part of the vector would be missing from the residual.
    this.#quantizer = new VectorQuantizer(dimension, bits - 1, "norm", false);
    this.#rotation = rotation === "none" ? null : createRotation(rotation, dimension, seed);
    this.#matrix = projectionMatrix(projection, dimension, seed, projections);
    this.#factor = sketchFactor(projection, dimension, projections);
    this.#centroids = getCodebook(dimension, bits - 1).centroids;
  }

  /** x: [dimension], not modified; NaN becomes 0, and values beyond ±65504 are clamped */
  quantize(x: Float32Array): ProdCode {
    checkLength("turboquant-prod: vector", x, this.dimension);
    const d = this.dimension;
    const y = x.slice();
    sanitize(y);
    this.#rotation?.apply(y);
    const quantizer = this.#quantizer;
    const { norm } = quantizer.quantize(y);
    // Residual of the unit vector, times √d.
    const r = Float32Array.from(quantizer.scaledInput, (u, i) => u - quantizer.centroids[i]!);
    const signs = Uint8Array.from(this.#project(r), (p) => (p >= 0 ? 1 : 0));
    const length = Math.fround(Math.fround(Math.sqrt(dot4(r, 0, r, 0, d))) / Math.fround(Math.sqrt(d)));
    return {
      codes: packCodes(quantizer.codes, quantizer.bits),
      norm: asFloat16(norm),
      signs: packCodes(signs, 1),
      residualNorm: asFloat16(norm * length),
    };
  }

  /** query: [dimension] */
  prepareQuery(query: Float32Array): PreparedQuery {
    checkLength("turboquant-prod: query", query, this.dimension);
    const rotated = query.slice();
    this.#rotation?.apply(rotated);
    return { rotated, projected: this.#project(rotated) };
  }

  /** An estimate of ⟨query, x⟩ that is unbiased over random projections. */
  innerProduct(query: Float32Array | PreparedQuery, code: ProdCode): number {
    const { rotated, projected } = query instanceof Float32Array ? this.prepareQuery(query) : query;
    const { indices, signs } = this.#unpack(code);
    let main = 0;
    let sketch = 0;
    for (let i = 0; i < this.dimension; i++) main += rotated[i]! * this.#centroids[indices[i]!]!;
    for (let i = 0; i < this.projections; i++) sketch += signs[i] ? projected[i]! : -projected[i]!;
    return code.norm * main + this.#factor * code.residualNorm * sketch;
  }

  /** The vector, [dimension], whose inner products `innerProduct` gives: unbiased, but farther from x than the codes alone. */
  dequantize(code: ProdCode): Float32Array {
    const d = this.dimension;
    const { indices, signs } = this.#unpack(code);
    const y = Float32Array.from(indices, (index) => code.norm * this.#centroids[index]!);
    const factor = this.#factor * code.residualNorm;
    for (let i = 0; i < this.projections; i++) {
      const signed = signs[i] ? factor : -factor;
      for (let j = 0; j < d; j++) y[j] = y[j]! + signed * this.#matrix[i * d + j]!;
    }
    this.#rotation?.invert(y);
    return y;
  }

  #unpack(code: ProdCode): { indices: Uint8Array; signs: Uint8Array } {
    const d = this.dimension;
    checkLength("turboquant-prod: codes", code.codes, ((this.bits - 1) * d) / 8);
    checkLength("turboquant-prod: signs", code.signs, this.projections / 8);
    return {
      indices: unpackCodes(code.codes, this.bits - 1, d),
      signs: unpackCodes(code.signs, 1, this.projections),
    };
  }

  #project(x: Float32Array): Float32Array {
    const d = this.dimension;
    return Float32Array.from({ length: this.projections }, (_, i) => dot4(this.#matrix, i * d, x, 0, d));
  }
}
