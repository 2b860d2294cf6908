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
import { eigenSymmetric } from "../math/eigen-symmetric.ts";
import { cholesky, multiply, transpose } from "../math/matrix.ts";
import type { LayerCalibration, SideCalibration } from "./calibration.ts";
import type { LayerMoments } from "./layer-moments.ts";
import { addOuterProducts, mirrored } from "./outer-sum.ts";
import type { RopeAverage } from "./rope-average.ts";

/** Between balancing (½) and whitening (1); the best of 0.5 to 0.85 at 2, 3 and 4 bits (docs/decisions/0005). */
const POWER = 0.7;
/** Shares of a multiple of the identity that are mixed in, because the moments of a few thousand tokens lack some directions. */
const METRIC_SHRINKAGE = 0.05;
const MOMENT_SHRINKAGE = 0.03;

/** Predicted gain for each side of one head, in the limit of many bits. */
export interface PredictedNoise {
  /** Noise with transform and feedback over noise of a plain rotation. */
  readonly key: number;
  readonly value: number;
}

export interface LayerDesign {
  readonly calibration: LayerCalibration;
  /** Of each KV head. */
  readonly predicted: readonly PredictedNoise[];
}

/**
 * outputWeight: [hidden][numHeads·valueDim] of the layer's output projection · average: for moments of queries and keys before RoPE,
 * what RoPE makes of them; null for moments behind it
 */
export function designLayer(
  { shape, heads }: LayerMoments,
  outputWeight: Float32Array,
  average: RopeAverage | null,
): LayerDesign {
  const { numHeads, numKvHeads, headDim: d, valueDim } = shape;
  const calibration = {
    keyMean: new Float32Array(numKvHeads * d),
    balance: new Float32Array(numKvHeads * d),
    key: emptySide(numKvHeads, d),
    value: emptySide(numKvHeads, valueDim),
  };
  const behindRope = (moment: Float64Array): Float64Array => average?.secondMoment(moment) ?? moment;
  const predicted = heads.map((head, h) => {
    const plainMean = head.keySum.map((x) => x / head.count);
    const mean = average?.mean(plainMean) ?? plainMean;
    const queries = behindRope(mirrored(head.queries, d));
    const keys = behindRope(mirrored(head.keys, d).map((x) => x / head.count)).map(
      (x, at) => x - mean[Math.floor(at / d)]! * mean[at % d]!,
    );
    const values = mirrored(head.values, valueDim).map((x) => x / head.count);
    calibration.keyMean.set(mean, h * d);
    calibration.balance.set(balanceOf(queries, keys, d), h * d);
    const put = (side: SideCalibration, metric: Float64Array, moment: Float64Array, dim: number): number => {
      const { transform, lambda, gain } = designSide(metric, moment, dim);
      side.transform.set(transform, h * dim * dim);
      side.metric.set(lambda, h * dim);
      return gain;
    };
    const outputs = outputMetric(outputWeight, numHeads, numHeads / numKvHeads, h, valueDim);
    return {
      key: put(calibration.key, queries, keys, d),
      value: put(calibration.value, outputs, values, valueDim),
    };
  });
  return { calibration, predicted };
}

const emptySide = (heads: number, d: number): SideCalibration => ({
  transform: new Float32Array(heads * d * d),
  metric: new Float32Array(heads * d),
});

/** Vectors that are brought together before their products are added up. */
const BLOCK_ROWS = 64;

/** Σ of W_oᵀ·W_o over the group's query heads, from the columns of those heads. */
function outputMetric(weight: Float32Array, numHeads: number, group: number, kvHead: number, d: number): Float64Array {
  const width = numHeads * d;
  const hidden = weight.length / width;
  const sum = new Float64Array(d * d);
  const rows = new Float64Array(BLOCK_ROWS * d);
  for (let g = 0; g < group; g++) {
    const column = (kvHead * group + g) * d;
    for (let start = 0; start < hidden; start += BLOCK_ROWS) {
      const count = Math.min(BLOCK_ROWS, hidden - start);
      for (let row = 0; row < count; row++) {
        const from = (start + row) * width + column;
        for (let i = 0; i < d; i++) rows[row * d + i] = weight[from + i]!;
      }
      addOuterProducts(sum, rows, count, d);
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
