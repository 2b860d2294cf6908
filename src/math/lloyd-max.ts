/**
 * @file The scalar quantizer with the least mean squared error for a symmetric density (Lloyd 1982, Max 1960).
 *
 * Lloyd's iteration converges ever more slowly (tens of thousands of rounds at 8 bits). The optimum is a zero of G_i(c) = c_i·mass_i
 * − moment_i, whose Jacobian is tridiagonal. Newton's method, started from companded centroids, takes about ten steps.
 */
import type { BetaDensity } from "./beta-density.ts";

/**
 * The positive half of the centroids, ascending, converged to machine precision.
 * levels: even, 2–256
 */
export function lloydMax(density: BetaDensity, levels: number): Float64Array {
  const m = levels / 2;
  let c = companded(density, m);
  for (let round = 0; round < 3; round++) c = lloydStep(density, c);
  for (let round = 0; round < 60; round++) {
    const step = newtonStep(density, c);
    // Halve the step until the centroids are ascending and inside (0, 1).
    let factor = 1;
    while (!isAscending(c, step, factor)) factor /= 2;
    let change = 0;
    for (let i = 0; i < m; i++) {
      c[i] = c[i]! - factor * step[i]!;
      change = Math.max(change, Math.abs(step[i]! / c[i]!));
    }
    if (factor === 1 && change < 1e-14) break;
  }
  return c;
}

/**
 * The positive half of the centroids after a fixed number of Lloyd's iterations, started from cells of equal probability. Shows
 * what a codebook loses when the iteration is stopped early.
 * levels: even, 2–256 · iterations: at least 1
 */
export function lloydIterations(density: BetaDensity, levels: number, iterations: number): Float64Array {
  let c = equalMasses(density, levels / 2);
  for (let round = 0; round < iterations; round++) c = lloydStep(density, c);
  return c;
}

/** Medians of m cells of equal probability on the positive half, by bisection. */
function equalMasses(density: BetaDensity, m: number): Float64Array {
  return Float64Array.from({ length: m }, (_, i) => {
    const target = (0.5 * (i + 0.5)) / m;
    let [low, high] = [0, 1];
    for (let step = 0; step < 60; step++) {
      const middle = (low + high) / 2;
      if (density.mass(0, middle) < target) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  });
}

/** Mean squared error of one coordinate quantized with these centroids. */
export function distortion(density: BetaDensity, positive: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < positive.length; i++) sum += density.squaredError(...cell(positive, i), positive[i]!);
  return 2 * sum;
}

/** The cell of positive centroid i: from the midpoint to the lower neighbour (or 0) to that to the upper neighbour (or 1). */
function cell(c: Float64Array, i: number): [number, number] {
  const lower = i === 0 ? 0 : (c[i - 1]! + c[i]!) / 2;
  const upper = i === c.length - 1 ? 1 : (c[i]! + c[i + 1]!) / 2;
  return [lower, upper];
}

/** Quantiles of f^(1/3), the asymptotically optimal density of centroids (Panter–Dite). */
function companded(density: BetaDensity, m: number): Float64Array {
  const n = 4096;
  const end = Math.min(1, 9 / Math.sqrt(density.dimension));
  const sums = new Float64Array(n + 1);
  for (let i = 0; i < n; i++) sums[i + 1] = sums[i]! + Math.cbrt(density.density(((i + 0.5) * end) / n));
  const c = new Float64Array(m);
  let k = 0;
  for (let i = 0; i < m; i++) {
    const target = (sums[n]! * (i + 0.5)) / m;
    while (sums[k + 1]! < target) k++;
    c[i] = ((k + (target - sums[k]!) / (sums[k + 1]! - sums[k]!)) * end) / n;
  }
  return c;
}

function lloydStep(density: BetaDensity, c: Float64Array): Float64Array {
  return c.map((old, i) => {
    const [a, b] = cell(c, i);
    const mass = density.mass(a, b);
    return mass > 0 ? density.firstMoment(a, b) / mass : old;
  });
}

/** Solves J·step = G, where the Jacobian J is tridiagonal (Thomas algorithm). */
function newtonStep(density: BetaDensity, c: Float64Array): Float64Array {
  const m = c.length;
  const lower = new Float64Array(m);
  const diagonal = new Float64Array(m);
  const upper = new Float64Array(m);
  const g = new Float64Array(m);
  for (let i = 0; i < m; i++) {
    const [a, b] = cell(c, i);
    const mass = density.mass(a, b);
    g[i] = c[i]! * mass - density.firstMoment(a, b);
    diagonal[i] = mass;
    if (i > 0) {
      lower[i] = (-(c[i]! - a) * density.density(a)) / 2;
      diagonal[i] = diagonal[i]! + lower[i]!;
    }
    if (i < m - 1) {
      upper[i] = ((c[i]! - b) * density.density(b)) / 2;
      diagonal[i] = diagonal[i]! + upper[i]!;
    }
  }
  for (let i = 1; i < m; i++) {
    const w = lower[i]! / diagonal[i - 1]!;
    diagonal[i] = diagonal[i]! - w * upper[i - 1]!;
    g[i] = g[i]! - w * g[i - 1]!;
  }
  for (let i = m - 1; i >= 0; i--) {
    const next = i < m - 1 ? upper[i]! * g[i + 1]! : 0;
    g[i] = (g[i]! - next) / diagonal[i]!;
  }
  return g;
}

function isAscending(c: Float64Array, step: Float64Array, factor: number): boolean {
  let previous = 0;
  for (let i = 0; i < c.length; i++) {
    const value = c[i]! - factor * step[i]!;
    if (!(value > previous && value < 1)) return factor < 1e-6;
    previous = value;
  }
  return true;
}
