/**
 * @file Computes the calibration of a layer (mean, balance, transform and
 * metric of each KV head) from moments of what its attention worked on.
 *
 * An error e of a key costs attention eᵀM e with M = E[q qᵀ] over the group's queries; for values M = Σ W_oᵀW_o over the
 * group's columns of the output projection. Let S be the second moment of the stored vectors (keys without their mean). With M
 * = C·Cᵀ and Cᵀ·S·C = Vᵀ·Λ·V, the transform A = Λ^(−p/2)·V·Cᵀ makes the metric diag(Λ^p) and the stored moment diag(Λ^(1−p)). p
 * = ½ balances the two, which is best without error feedback (SmoothAttention of QServe, arXiv 2405.04532, is its diagonal). p
 * = 1 whitens, which is the optimum of noise shaping at a high rate. Rates of 2 to 4 bits lie in between.
 */
import { cholesky, eigenSymmetric, multiply, transpose } from "../math/matrix.ts";
import type { LayerCalibration, SideCalibration } from "./calibration.ts";

/** Between balancing (½) and whitening (1); the best of 0.5 to 0.85 at 2, 3 and 4 bits (docs/decisions/0005). */
const POWER = 0.7;
/** Shares of a multiple of the identity that are mixed in, because the moments of a few thousand tokens lack some directions. */
const METRIC_SHRINKAGE = 0.05;
const MOMENT_SHRINKAGE = 0.03;
/** Tokens at the beginning of a sequence that are left out, because attention sinks differ from all other keys. */
const SKIPPED_TOKENS = 4;

/** Sums over the tokens of one KV head; matrices are [headDim][headDim]. */
interface HeadMoments {
  count: number;
  readonly keySum: Float64Array;
  readonly keys: Float64Array;
  readonly values: Float64Array;
  /** Second moment of the group's queries. */
  readonly queries: Float64Array;
}

/** Predicted gain for each side of one head, in the limit of many bits. */
export interface PredictedNoise {
  /** Noise with transform and feedback over noise of a plain rotation. */
  readonly key: number;
  readonly value: number;
}

export interface LayerShape {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
}

/** Collects the moments of one layer. */
export class LayerMoments {
  readonly #shape: LayerShape;
  readonly #heads: readonly HeadMoments[];

  constructor(shape: LayerShape) {
    this.#shape = shape;
    const square = () => new Float64Array(shape.headDim ** 2);
    this.#heads = Array.from({ length: shape.numKvHeads }, () => ({
      count: 0,
      keySum: new Float64Array(shape.headDim),
      keys: square(),
      values: square(),
      queries: square(),
    }));
  }

  /**
   * Adds one sequence from its beginning, with exact vectors after RoPE.
   * queries: [tokens][numHeads·headDim], in any common scale · keys, values: [tokens][numKvHeads·headDim]
   */
  add(queries: Float32Array, keys: Float32Array, values: Float32Array): void {
    const { numHeads, numKvHeads, headDim: d } = this.#shape;
    const tokens = keys.length / (numKvHeads * d);
    const group = numHeads / numKvHeads;
    for (let token = SKIPPED_TOKENS; token < tokens; token++) {
      for (const [h, head] of this.#heads.entries()) {
        const at = (token * numKvHeads + h) * d;
        const key = keys.subarray(at, at + d);
        head.count++;
        for (let i = 0; i < d; i++) head.keySum[i] = head.keySum[i]! + key[i]!;
        addOuter(head.keys, key);
        addOuter(head.values, values.subarray(at, at + d));
        for (let g = 0; g < group; g++) {
          const of = (token * numHeads + h * group + g) * d;
          addOuter(head.queries, queries.subarray(of, of + d));
        }
      }
    }
  }

  /**
   * outputWeight: [hidden][numHeads·headDim] of the layer's output projection
   * returns: the calibration, and the predicted noise of each head
   */
  design(outputWeight: Float32Array): { calibration: LayerCalibration; predicted: readonly PredictedNoise[] } {
    const { numHeads, numKvHeads, headDim: d } = this.#shape;
    const calibration = {
      keyMean: new Float32Array(numKvHeads * d),
      balance: new Float32Array(numKvHeads * d),
      key: emptySide(numKvHeads, d),
      value: emptySide(numKvHeads, d),
    };
    const predicted = this.#heads.map((head, h) => {
      const mean = head.keySum.map((x) => x / head.count);
      const queries = mirrored(head.queries, d);
      const keys = mirrored(head.keys, d).map((x, at) => x / head.count - mean[Math.floor(at / d)]! * mean[at % d]!);
      const values = mirrored(head.values, d).map((x) => x / head.count);
      calibration.keyMean.set(mean, h * d);
      calibration.balance.set(balanceOf(queries, keys, d), h * d);
      const put = (side: SideCalibration, metric: Float64Array, moment: Float64Array): number => {
        const { transform, lambda, gain } = designSide(metric, moment, d);
        side.transform.set(transform, h * d * d);
        side.metric.set(lambda, h * d);
        return gain;
      };
      return {
        key: put(calibration.key, queries, keys),
        value: put(calibration.value, outputMetric(outputWeight, numHeads, numHeads / numKvHeads, h, d), values),
      };
    });
    return { calibration, predicted };
  }
}

const emptySide = (heads: number, d: number): SideCalibration => ({
  transform: new Float32Array(heads * d * d),
  metric: new Float32Array(heads * d),
});

/** Adds the lower triangle of x·xᵀ; `mirrored` completes the sum. */
function addOuter(sum: Float64Array, x: Float32Array): void {
  const d = x.length;
  for (let i = 0; i < d; i++) {
    const xi = x[i]!;
    for (let j = 0, at = i * d; j <= i; j++, at++) sum[at] = sum[at]! + xi * x[j]!;
  }
}

const mirrored = (lower: Float64Array, d: number): Float64Array =>
  lower.map((_, at) => lower[Math.max(Math.floor(at / d), at % d) * d + Math.min(Math.floor(at / d), at % d)]!);

/** Σ of W_oᵀ·W_o over the group's query heads, from the columns of those heads. */
function outputMetric(weight: Float32Array, numHeads: number, group: number, kvHead: number, d: number): Float64Array {
  const width = numHeads * d;
  const sum = new Float64Array(d * d);
  for (let row = 0; row < weight.length; row += width) {
    for (let g = 0; g < group; g++) {
      const at = row + (kvHead * group + g) * d;
      addOuter(sum, weight.subarray(at, at + d));
    }
  }
  return mirrored(sum, d);
}

const trace = (m: Float64Array, d: number): number => {
  let sum = 0;
  for (let i = 0; i < d; i++) sum += m[i * (d + 1)]!;
  return sum;
};

/** (1 − share)·m/scale + share·I with scale = trace/d; a matrix of zeros becomes the identity. */
function shrink(m: Float64Array, share: number, d: number): { matrix: Float64Array; scale: number } {
  const scale = trace(m, d) / d;
  const kept = scale > 0 ? (1 - share) / scale : 0;
  const own = scale > 0 ? share : 1;
  return { matrix: m.map((x, at) => kept * x + (at % (d + 1) === 0 ? own : 0)), scale };
}

/** Transform and metric as in the head of this file, scaled so that the mean square of the stored vectors stays the same. */
function designSide(
  metric: Float64Array,
  moment: Float64Array,
  d: number,
): { transform: Float64Array; lambda: Float64Array; gain: number } {
  const c = cholesky(shrink(metric, METRIC_SHRINKAGE, d).matrix, d);
  const ct = transpose(c, d);
  const s = shrink(moment, MOMENT_SHRINKAGE, d).matrix;
  const { values, vectors } = eigenSymmetric(multiply(ct, multiply(s, c, d), d), d);
  const lambda = values.map((x) => Math.max(x, 1e-9));
  const stored = lambda.reduce((sum, x) => sum + x ** (1 - POWER), 0) / d;
  const factor = 1 / Math.sqrt(stored);
  const transform = multiply(vectors, ct, d).map((x, at) => x * factor * lambda[Math.floor(at / d)]! ** (-POWER / 2));
  const weights = lambda.map((x) => x ** POWER);
  const mean = weights.reduce((sum, x) => sum + x, 0) / d;
  const geometric = Math.exp(weights.reduce((sum, x) => sum + Math.log(x), 0) / d);
  return { transform, lambda: weights.map((x) => x / mean), gain: geometric * stored };
}

/** r = (E q² / E k²)^¼, the same for both coordinates of a RoPE pair. */
function balanceOf(queries: Float64Array, keys: Float64Array, d: number): Float32Array {
  const half = d / 2;
  const total = trace(queries, d) / Math.max(trace(keys, d), 1e-30);
  const of = (i: number): number => {
    const [q, k] = [queries, keys].map((m) => m[i * (d + 1)]! + m[(i + half) * (d + 1)]!) as [number, number];
    const ratio = k > 0 && q > 0 && total > 0 ? q / k / total : 1;
    return Math.min(1e3, Math.max(1e-3, ratio ** 0.25));
  };
  return Float32Array.from({ length: d }, (_, i) => of(i % half));
}
