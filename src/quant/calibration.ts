/** @file Per-head constants measured offline that make keys easier to quantize (research: mean removal, q/k balance). */

/**
 * Calibration of one layer; identity when absent.
 *
 * keyMean: [numKvHeads·headDim], mean of post-RoPE keys; subtracting it shifts every logit of a softmax row equally
 * balance: [numKvHeads·headDim] r > 0, equal inside a RoPE pair (j, j + headDim/2); keys are stored as r·(k − mean) and
 * queries of the group are divided by r
 */
export interface LayerCalibration {
  readonly keyMean: Float32Array;
  readonly balance: Float32Array;
}
