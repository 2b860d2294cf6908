/**
 * @file Random rotations, after which every coordinate of a unit vector has the same known distribution (TurboQuant, arXiv
 * 2504.19874, section 3; randomized Hadamard as in QuaRot, arXiv 2404.00456).
 *
 * docs/formats/kv-page.md fixes the order of the f32 operations; docs/decisions/0003 explains the two Hadamard rounds.
 */
import { TurboQuantError } from "../errors.ts";
import { dot4 } from "../math/dot.ts";
import { fwht } from "../math/hadamard.ts";
import { CounterRng, signs } from "../math/rng.ts";
import type { RotationKind } from "./rules.ts";

/** Streams of the counter-based RNG for rotations; other users of a seed must not use them. */
const STREAM_SIGNS = 0x7160;
const STREAM_QR = 0x7170;

export interface Rotation {
  readonly kind: RotationKind;
  readonly headDim: number;
  /** Hadamard: the random signs of each round, one or two arrays of length p. */
  readonly signs: readonly Float32Array[];
  /** QR: row-major [headDim][headDim]; otherwise null. */
  readonly matrix: Float32Array | null;
  /** Rotates x[offset .. offset+headDim) in place. */
  apply(x: Float32Array, offset?: number): void;
  /** Undoes `apply` (up to rounding). */
  invert(x: Float32Array, offset?: number): void;
}

/** The largest power of two ≤ n. */
export function powerOfTwoBelow(n: number): number {
  return 2 ** Math.floor(Math.log2(n));
}

class HadamardRotation implements Rotation {
  readonly kind = "hadamard";
  readonly matrix = null;
  readonly headDim: number;
  readonly signs: readonly Float32Array[];
  readonly #size: number;
  readonly #norm: number;

  constructor(headDim: number, seed: number) {
    this.headDim = headDim;
    this.#size = powerOfTwoBelow(headDim);
    this.#norm = Math.fround(1 / Math.sqrt(this.#size));
    const rounds = this.#size === headDim ? 1 : 2;
    this.signs = Array.from({ length: rounds }, (_, round) => signs(seed, STREAM_SIGNS + round, this.#size));
  }

  apply(x: Float32Array, offset = 0): void {
    this.signs.forEach((round, index) => {
      const start = this.#start(offset, index);
      for (let i = 0; i < this.#size; i++) x[start + i] = x[start + i]! * round[i]!;
      fwht(x, start, this.#size);
      for (let i = 0; i < this.#size; i++) x[start + i] = x[start + i]! * this.#norm;
    });
  }

  invert(x: Float32Array, offset = 0): void {
    for (let index = this.signs.length - 1; index >= 0; index--) {
      const round = this.signs[index]!;
      const start = this.#start(offset, index);
      fwht(x, start, this.#size);
      for (let i = 0; i < this.#size; i++) x[start + i] = x[start + i]! * this.#norm * round[i]!;
    }
  }

  /** The first round covers the first p coordinates, the second round the last p. */
  #start(offset: number, round: number): number {
    return round === 0 ? offset : offset + this.headDim - this.#size;
  }
}

class MatrixRotation implements Rotation {
  readonly kind = "qr";
  readonly signs = [];
  readonly headDim: number;
  readonly matrix: Float32Array;
  readonly #transposed: Float32Array;
  readonly #scratch: Float32Array;

  constructor(headDim: number, seed: number) {
    this.headDim = headDim;
    this.matrix = Float32Array.from(haarMatrix(headDim, seed));
    this.#transposed = new Float32Array(headDim * headDim);
    this.#scratch = new Float32Array(headDim);
    for (let i = 0; i < headDim; i++) {
      for (let j = 0; j < headDim; j++) this.#transposed[j * headDim + i] = this.matrix[i * headDim + j]!;
    }
  }

  apply(x: Float32Array, offset = 0): void {
    this.#multiply(this.matrix, x, offset);
  }

  invert(x: Float32Array, offset = 0): void {
    this.#multiply(this.#transposed, x, offset);
  }

  #multiply(matrix: Float32Array, x: Float32Array, offset: number): void {
    const d = this.headDim;
    for (let i = 0; i < d; i++) this.#scratch[i] = dot4(matrix, i * d, x, offset, d);
    x.set(this.#scratch, offset);
  }
}

/**
 * An orthogonal matrix from the Haar measure: Gram–Schmidt on Gaussian rows, done twice for orthogonality to machine precision.
 * Gram–Schmidt keeps the diagonal of R positive, as the Haar measure requires (Mezzadri 2007).
 */
export function haarMatrix(d: number, seed: number): Float64Array {
  const rng = new CounterRng(seed, STREAM_QR + d);
  const m = Float64Array.from({ length: d * d }, (_, i) => rng.gaussian(i));
  for (let i = 0; i < d; i++) {
    const row = m.subarray(i * d, (i + 1) * d);
    for (let pass = 0; pass < 2; pass++) {
      for (let j = 0; j < i; j++) {
        const other = m.subarray(j * d, (j + 1) * d);
        let dot = 0;
        for (let c = 0; c < d; c++) dot += row[c]! * other[c]!;
        for (let c = 0; c < d; c++) row[c] = row[c]! - dot * other[c]!;
      }
    }
    const norm = Math.hypot(...row);
    for (let c = 0; c < d; c++) row[c] = row[c]! / norm;
  }
  return m;
}

const cache = new Map<string, Rotation>();

/**
 * The rotation of a head; the same object for the same arguments.
 * headDim: multiple of 8 · seed: below 2^32
 * @throws TurboQuantError invalid_argument — kind is `none`
 */
export function createRotation(kind: RotationKind, headDim: number, seed: number): Rotation {
  const key = `${kind}/${headDim}/${seed}`;
  const known = cache.get(key);
  if (known) return known;
  if (kind === "none")
    throw new TurboQuantError("invalid_argument", "rotation: none has no matrix; do not ask for one");
  const rotation = kind === "hadamard" ? new HadamardRotation(headDim, seed) : new MatrixRotation(headDim, seed);
  cache.set(key, rotation);
  return rotation;
}
