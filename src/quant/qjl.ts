/**
 * @file The 1-bit sketch of a residual: signs of random projections that give an unbiased estimate of its inner product with a
 * query (QJL, arXiv 2406.03482; TurboQuant, arXiv 2504.19874, Algorithm 2).
 */
import { CounterRng } from "../math/rng.ts";
import { haarMatrix } from "./rotation.ts";

/** Gaussian: i.i.d. N(0, 1) rows. Orthogonal: rows of a Haar matrix, with about 2.8 times less variance. */
export type Projection = "gaussian" | "orthogonal";

/** Most projections that a format may ask for; without a number there are as many as the head has coordinates. */
export const MAX_PROJECTIONS = 512;

const STREAM_GAUSSIAN = 0x7180;
const cache = new Map<string, Float32Array>();

/**
 * The projections S, row-major [m][d] f32; the same object for the same arguments.
 * m: number of projections; more than d cannot be orthogonal
 */
export function projectionMatrix(kind: Projection, d: number, seed: number, m: number = d): Float32Array {
  const key = `${kind}/${d}/${seed}/${m}`;
  let matrix = cache.get(key);
  if (!matrix) {
    const rng = new CounterRng(seed, STREAM_GAUSSIAN);
    // The seed differs from the rotation's: projections along the rotated axes would see single coordinates instead of mixtures.
    matrix =
      kind === "gaussian"
        ? Float32Array.from({ length: m * d }, (_, i) => rng.gaussian(i))
        : Float32Array.from(haarMatrix(d, seed ^ 0x5bd1e995)).subarray(0, m * d);
    cache.set(key, matrix);
  }
  return matrix;
}

/**
 * The factor that makes ‖r‖⟨Sq, sign(Sr)⟩ an unbiased estimate of ⟨q, r⟩, for m projections.
 *
 * Gaussian S: √(π/2)/m. Orthogonal S: 1/(m·E|g₁|) with g₁ a coordinate of a random unit vector, which tends to √(π·d/2)/m.
 */
export function sketchFactor(kind: Projection, d: number, m: number = d): number {
  if (kind === "gaussian") return Math.sqrt(Math.PI / 2) / m;
  // E|g₁| = Γ(d/2) / (√π · Γ((d+1)/2)), by recursion over d, which stays exact for small d.
  let ratio = d % 2 === 0 ? 2 / Math.PI : 1;
  for (let k = d % 2 === 0 ? 2 : 1; k < d; k += 2) ratio *= k / (k + 1);
  return 1 / (m * ratio);
}
