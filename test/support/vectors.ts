/** @file For tests: reproducible random vectors, and means with confidence intervals. */
import { CounterRng } from "../../src/math/rng.ts";

/** Stream apart from those of rotations and sketches, so that test data never equals their random numbers. */
const STREAM = 0x9999;

/** n standard normal values; another `index` gives others. */
export function gaussianVector(n: number, index: number, seed = 1): Float32Array {
  const rng = new CounterRng(seed, STREAM);
  return Float32Array.from({ length: n }, (_, i) => rng.gaussian(index * 8192 + i));
}

export function unitVector(n: number, index: number, seed = 1): Float32Array {
  const x = gaussianVector(n, index, seed);
  const norm = Math.hypot(...x);
  return x.map((v) => v / norm);
}

export function innerProduct(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

export function squaredDistance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return sum;
}

/** Mean of a sample and the standard error of that mean. */
export function meanAndError(sample: readonly number[]): { mean: number; error: number } {
  const n = sample.length;
  const mean = sample.reduce((sum, x) => sum + x, 0) / n;
  const variance = sample.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (n - 1);
  return { mean, error: Math.sqrt(variance / n) };
}
