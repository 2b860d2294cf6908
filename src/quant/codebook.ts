/** @file Lloyd–Max codebooks for a coordinate of a rotated vector (TurboQuant, arXiv 2504.19874, equation 4). */
import { TurboQuantError } from "../errors.ts";
import { BetaDensity } from "../math/beta-density.ts";
import { distortion, lloydIterations, lloydMax } from "../math/lloyd-max.ts";

export interface Codebook {
  readonly headDim: number;
  readonly bits: number;
  /** 2^bits values, ascending and symmetric, for coordinates of a unit vector. */
  readonly centroids: Float64Array;
  /** The centroids times √headDim, rounded to f32, for vectors of norm √headDim. */
  readonly scaled: Float32Array;
  /** 2^bits − 1 midpoints between the scaled centroids, computed in f64 and rounded. */
  readonly boundaries: Float32Array;
  /** Expected squared error for a unit vector. */
  readonly distortion: number;
}

const cache = new Map<string, Codebook>();

/**
 * The codebook for a head dimension and width; computed once.
 * headDim: at least 3 · bits: 1–8 · iterations: number of Lloyd's iterations, for experiments; absent: the optimum
 */
export function getCodebook(headDim: number, bits: number, iterations?: number): Codebook {
  if (!Number.isInteger(bits) || bits < 1 || bits > 8 || !Number.isInteger(headDim) || headDim < 3) {
    throw new TurboQuantError(
      "invalid_argument",
      `codebook: expected 1–8 bits and head_dim ≥ 3, got ${bits} and ${headDim}`,
    );
  }
  const key = `${headDim}/${bits}/${iterations ?? "converged"}`;
  const known = cache.get(key);
  if (known) return known;
  const density = new BetaDensity(headDim);
  const positive =
    iterations === undefined ? lloydMax(density, 2 ** bits) : lloydIterations(density, 2 ** bits, iterations);
  const m = positive.length;
  const centroids = new Float64Array(2 * m);
  for (let i = 0; i < m; i++) {
    centroids[m + i] = positive[i]!;
    centroids[m - 1 - i] = -positive[i]!;
  }
  const root = Math.sqrt(headDim);
  const codebook: Codebook = {
    headDim,
    bits,
    centroids,
    scaled: Float32Array.from(centroids, (c) => c * root),
    boundaries: Float32Array.from({ length: 2 * m - 1 }, (_, i) => ((centroids[i]! + centroids[i + 1]!) / 2) * root),
    distortion: distortion(density, positive) * headDim,
  };
  cache.set(key, codebook);
  return codebook;
}
