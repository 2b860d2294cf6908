/** @file Per-head constants measured offline that make keys and values easier to quantize (docs/decisions/0005). */

/**
 * How one side of a layer is best spread before it is rotated and rounded.
 *
 * transform: [numKvHeads][headDim][headDim] row-major A; vectors are stored as A·(x − mean)
 * metric: [numKvHeads][headDim] λ > 0; an error e in the space of A costs Σ λ_i e_i² of attention (A makes the metric diagonal)
 */
export interface SideCalibration {
  readonly transform: Float32Array;
  readonly metric: Float32Array;
}

/**
 * Calibration of one layer; identity when absent.
 *
 * keyMean: [numKvHeads·headDim], mean of post-RoPE keys; subtracting it shifts every logit of a softmax row equally
 * balance: [numKvHeads·headDim] r > 0, equal inside a RoPE pair (j, j + headDim/2); keys are stored as r·(k − mean) and
 * queries of the group are divided by r, where no transform is used
 * key, value: null when only mean and balance are known
 */
export interface LayerCalibration {
  readonly keyMean: Float32Array;
  readonly balance: Float32Array;
  readonly key: SideCalibration | null;
  readonly value: SideCalibration | null;
}
