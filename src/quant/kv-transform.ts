/**
 * @file What a calibration becomes for one format: dense maps in place of the rotation, and factors for error feedback.
 *
 * With A and λ of `SideCalibration` and the rotation Π, a vector is stored as W·(x − mean), W = Π·A. Queries of the group are
 * multiplied by W⁻ᵀ, outputs by W⁻¹. An error e of the stored coordinates costs eᵀMe with M = Π·diag(λ)·Πᵀ. With M = U·D·Uᵀ, U
 * unit upper triangular, that is Σ D_i (e_i + Σ_{j<i} U_ji e_j)². So coordinate i is best rounded to its value minus Σ_{j<i}
 * U_ji e_j, the feedback of the errors before it. GPTQ (arXiv 2210.17323) and QuIP (arXiv 2307.13304) round weights with the
 * same triangular feedback. Here it rounds cached vectors, and a reader does not need to know of it.
 */
import { cholesky, invert, multiply, transpose } from "../math/matrix.ts";
import type { LayerCalibration, SideCalibration } from "./calibration.ts";
import { codecOf } from "./codecs/registry.ts";
import type { Shaping } from "./codecs/side-codec.ts";
import type { LayerKvFormat, SideFormat } from "./kv-format.ts";
import { isRotated } from "./page-layout.ts";
import { createRotation, type Rotation } from "./rotation.ts";

/** One side of a layer, headDim being the side's. Matrices are f32, [numKvHeads][headDim][headDim]. */
export interface SideTransform {
  /** W, row-major; null: the plain rotation, for keys with the balance. */
  readonly forward: Float32Array | null;
  /** W⁻ᵀ for queries (K) or W⁻¹ for outputs (V), row-major; null when `forward` is. */
  readonly inverse: Float32Array | null;
  /**
   * [numKvHeads][headDim + 1][headDim]; null: round to the nearest. Row j < headDim is column j of the factor: U_ji at i > j
   * and zeros up to j. The last row is D divided by its mean.
   */
  readonly feedback: Float32Array | null;
}

export interface LayerTransforms {
  readonly k: SideTransform;
  readonly v: SideTransform;
}

const IDENTITY: SideTransform = { forward: null, inverse: null, feedback: null };
/** The transforms of a layer without a calibration. */
export const NO_TRANSFORMS: LayerTransforms = { k: IDENTITY, v: IDENTITY };

/** Which parts of a calibration a side uses; null for none. */
function shapingOf(side: SideFormat): Shaping | null {
  const shaping = codecOf(side).shapingOf?.(side);
  return shaping && (shaping.transform || shaping.feedback) ? shaping : null;
}

/** Number of values that one KV head has in the arrays of `SideTransform`. */
export function transformValues(side: SideFormat, headDim: number): number {
  const shaping = shapingOf(side);
  if (!shaping) return 0;
  return (shaping.transform ? 2 * headDim * headDim : 0) + feedbackValues(side, headDim);
}

/** Of them, the factors for error feedback. */
export function feedbackValues(side: SideFormat, headDim: number): number {
  return shapingOf(side)?.feedback ? (headDim + 1) * headDim : 0;
}

/** Computes the maps of a layer, which takes tenths of a second for a large one. `PreparedLayer` keeps them. */
export function makeTransforms(
  calibration: LayerCalibration,
  format: LayerKvFormat,
  { headDim, valueDim }: { readonly headDim: number; readonly valueDim: number },
): LayerTransforms {
  return {
    k: sideTransform(calibration.key, format.k, format, headDim, calibration.balance),
    v: sideTransform(calibration.value, format.v, format, valueDim, null),
  };
}

function sideTransform(
  calibration: SideCalibration | null,
  side: SideFormat,
  format: LayerKvFormat,
  d: number,
  balance: Float32Array | null,
): SideTransform {
  const shaping = shapingOf(side);
  if (!calibration || !shaping) return IDENTITY;
  const rotation = isRotated(side, format) ? createRotation(format.rotation, d, format.seed) : null;
  const heads = calibration.metric.length / d;
  const forward = shaping.transform ? new Float32Array(heads * d * d) : null;
  const inverse = shaping.transform ? new Float32Array(heads * d * d) : null;
  const feedback = shaping.feedback ? new Float32Array(heads * (d + 1) * d) : null;
  for (let head = 0; head < heads; head++) {
    const a = new Float64Array(calibration.transform.subarray(head * d * d, (head + 1) * d * d));
    const metric = calibration.metric.subarray(head * d, (head + 1) * d);
    if (forward && inverse) {
      const w = rotateColumns(a, rotation, d);
      forward.set(w, head * d * d);
      // The inverse of W as stored, so that the f32 rounding of W cancels.
      const back = invert(new Float64Array(forward.subarray(head * d * d, (head + 1) * d * d)), d);
      inverse.set(balance ? transpose(back, d) : back, head * d * d);
    }
    if (feedback) {
      const own = shaping.transform
        ? rotatedDiagonal(metric, rotation, d)
        : rotated(plainMetric(a, metric, d, balance?.subarray(head * d, (head + 1) * d)), rotation, d);
      feedback.set(feedbackOf(own, d), head * (d + 1) * d);
    }
  }
  return { forward, inverse, feedback };
}

/** diag(values)·m */
const scaleRows = (values: ArrayLike<number>, m: Float64Array, d: number): Float64Array =>
  m.map((x, at) => values[Math.floor(at / d)]! * x);

/** The metric without a transform: Aᵀ·diag(λ)·A, divided by the balance on both sides. */
function plainMetric(a: Float64Array, metric: Float32Array, d: number, balance?: Float32Array): Float64Array {
  const m = multiply(transpose(a, d), scaleRows(metric, a, d), d);
  if (!balance) return m;
  return m.map((x, at) => x / (balance[at % d]! * balance[Math.floor(at / d)]!));
}

/** Π·m·Πᵀ for a symmetric m: rotates the columns, then the columns of the transpose. */
function rotated(m: Float64Array, rotation: Rotation | null, d: number): Float64Array {
  return rotation ? rotateColumns(transpose(rotateColumns(m, rotation, d), d), rotation, d) : m;
}

/** Π·diag(values)·Πᵀ, equal bit for bit to `rotated`, but only its upper triangle, which takes half as many sums of d terms. */
function rotatedDiagonal(values: Float32Array, rotation: Rotation | null, d: number): Float64Array {
  const out = new Float64Array(d * d);
  if (!rotation) {
    for (let i = 0; i < d; i++) out[i * (d + 1)] = values[i]!;
    return out;
  }
  const pi = rotationMatrix(rotation, d);
  const scaled = pi.map((x, at) => x * values[at % d]!);
  for (let i = 0; i < d; i++) {
    // Four sums are computed side by side, because each addition waits for the one before it. Those below the diagonal do no harm.
    for (let j = i & ~3; j < d; j += 4) {
      const j0 = j * d;
      const j1 = j0 + d;
      const j2 = j1 + d;
      const j3 = j2 + d;
      let s0 = 0;
      let s1 = 0;
      let s2 = 0;
      let s3 = 0;
      for (let k = 0; k < d; k++) {
        const factor = pi[i * d + k]!;
        s0 += factor * scaled[j0 + k]!;
        s1 += factor * scaled[j1 + k]!;
        s2 += factor * scaled[j2 + k]!;
        s3 += factor * scaled[j3 + k]!;
      }
      out[i * d + j] = s0;
      out[i * d + j + 1] = s1;
      out[i * d + j + 2] = s2;
      out[i * d + j + 3] = s3;
    }
  }
  return out;
}

/** Π·m for a row-major m: the f32 rotation of unit vectors, multiplied in f64. */
function rotateColumns(m: Float64Array, rotation: Rotation | null, d: number): Float64Array {
  if (!rotation) return m;
  return multiply(rotationMatrix(rotation, d), m, d);
}

const matrices = new WeakMap<Rotation, Float64Array>();

function rotationMatrix(rotation: Rotation, d: number): Float64Array {
  let matrix = matrices.get(rotation);
  if (!matrix) {
    matrix = new Float64Array(d * d);
    const column = new Float32Array(d);
    for (let j = 0; j < d; j++) {
      column.fill(0);
      column[j] = 1;
      rotation.apply(column);
      for (let i = 0; i < d; i++) matrix[i * d + j] = column[i]!;
    }
    matrices.set(rotation, matrix);
  }
  return matrix;
}

/** U and D of M = U·D·Uᵀ, U unit upper triangular, as stored in `SideTransform.feedback`. Reads the upper triangle of m. */
function feedbackOf(m: Float64Array, d: number): Float32Array {
  // The Cholesky factor of the matrix with reversed rows and columns is U·√D, reversed likewise.
  const c = cholesky(m.toReversed(), d);
  const out = new Float32Array((d + 1) * d);
  const weights = Array.from({ length: d }, (_, i) => c[(d - 1 - i) * (d + 1)]! ** 2);
  const mean = weights.reduce((sum, weight) => sum + weight, 0) / d;
  weights.forEach((weight, i) => {
    out[d * d + i] = weight / mean;
  });
  for (let j = 0; j < d; j++) {
    for (let i = j + 1; i < d; i++) {
      const row = d - 1 - j;
      const column = d - 1 - i;
      out[j * d + i] = c[row * d + column]! / c[column * d + column]!;
    }
  }
  return out;
}
