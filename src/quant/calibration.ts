/** @file Constants of each head, measured offline, that make keys and values easier to quantize (docs/decisions/0005). */

/**
 * Constants of one side of a layer.
 *
 * transform: [numKvHeads][headDim][headDim] row-major A; vectors are stored as A·(x − mean)
 * metric: [numKvHeads][headDim] λ > 0; an error e of a stored vector costs attention Σ λ_i e_i² (A makes the metric diagonal)
 */
export interface SideCalibration {
  readonly transform: Float32Array;
  readonly metric: Float32Array;
}

/**
 * Calibration of one layer; absent parts change nothing.
 *
 * keyMean: [numKvHeads·headDim], mean of keys after RoPE; subtracting it shifts all logits of a softmax row equally
 * balance: [numKvHeads·headDim] r > 0, equal within a RoPE pair (j, j + headDim/2). Without a transform, keys are stored as
 * r·(k − mean) and the queries of the group are divided by r
 * key, value: null when only mean and balance are known
 */
export interface LayerCalibration {
  readonly keyMean: Float32Array;
  readonly balance: Float32Array;
  readonly key: SideCalibration | null;
  readonly value: SideCalibration | null;
}
