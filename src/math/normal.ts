/** @file The normal distribution. */

const DENSITY = 1 / Math.sqrt(2 * Math.PI);

/** Probability of a standard normal number below x, for |x| up to 8: ½ + φ(x) · Σ x^(2k+1) / (1 · 3 · … · (2k+1)) */
function belowOf(x: number): number {
  let sum = 0;
  for (let term = x, k = 1; Math.abs(term) > 1e-18 * Math.abs(sum); k += 2) {
    sum += term;
    term *= (x * x) / (k + 2);
  }
  return 0.5 + sum * DENSITY * Math.exp((-x * x) / 2);
}

/** The number that a standard normal one is below with probability p; p: from 1e-9 to 1 − 1e-9 */
export function normalQuantile(p: number): number {
  if (p < 0.5) return -normalQuantile(1 - p);
  // The probability bends downwards beyond 0, so that each step of Newton's method stays short of the number.
  let x = 0;
  for (let n = 0; n < 100; n++) {
    const step = (p - belowOf(x)) / (DENSITY * Math.exp((-x * x) / 2));
    x += step;
    if (Math.abs(step) < 1e-13) break;
  }
  return x;
}
