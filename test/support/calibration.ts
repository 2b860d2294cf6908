/** @file A calibration as no model has it: every constant random, every matrix well conditioned. */
import { CounterRng } from "../../src/math/rng.ts";
import type { LayerCalibration, SideCalibration } from "../../src/quant/calibration.ts";
import type { LayerKvFormat } from "../../src/quant/kv-format.ts";
import { PreparedLayer } from "../../src/quant/prepared-layer.ts";

/** Means are standard Gaussians, balances 0.5 to 1.5, metrics spread over about two decades. */
export function randomCalibration(
  numKvHeads: number,
  headDim: number,
  seed = 5,
  valueDim: number = headDim,
): LayerCalibration {
  const rng = new CounterRng(seed, 5);
  let drawn = 0;
  const gaussians = (length: number): Float32Array => Float32Array.from({ length }, () => rng.gaussian(drawn++));
  const side = (dim: number): SideCalibration => ({
    transform: gaussians(numKvHeads * dim * dim).map((x, at) => {
      const isDiagonal = Math.floor(at / dim) % dim === at % dim;
      return (0.3 * x) / Math.sqrt(dim) + (isDiagonal ? 1 : 0);
    }),
    metric: gaussians(numKvHeads * dim).map((x) => Math.exp(x)),
  });
  const uniforms = Float32Array.from({ length: headDim / 2 }, (_, i) => 0.5 + rng.uniform(1e6 + i));
  return {
    keyMean: gaussians(numKvHeads * headDim),
    balance: Float32Array.from({ length: numKvHeads * headDim }, (_, i) => uniforms[i % (headDim / 2)]!),
    key: side(headDim),
    value: side(valueDim),
  };
}

/** A layer as a decoder prepares it, with the KV heads that the calibration has. */
export function prepared(calibration: LayerCalibration | null, format: LayerKvFormat, headDim: number): PreparedLayer {
  const numKvHeads = calibration ? calibration.keyMean.length / headDim : 1;
  return new PreparedLayer(format, { numKvHeads, headDim }, calibration);
}
