/** @file Random vectors and measures on them. */
import { CounterRng } from "../../src/math/rng.ts";

const STREAM = 0xf1d;

export function gaussianVectors(dimension: number, count: number, seed = 1): Float32Array[] {
  const rng = new CounterRng(seed, STREAM);
  return Array.from({ length: count }, (_, v) =>
    Float32Array.from({ length: dimension }, (_, i) => rng.gaussian(v * dimension + i)),
  );
}

export function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

export const cosine = (a: Float32Array, b: Float32Array): number => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
