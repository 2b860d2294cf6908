/**
 * @file The density of one coordinate of a random unit vector in d dimensions: f(t) ∝ (1 − t²)^((d−3)/2) on [−1, 1].
 * (t+1)/2 has the distribution Beta((d−1)/2, (d−1)/2); for large d, t tends to N(0, 1/d).
 */

/** Nodes and weights of 20-point Gauss–Legendre quadrature on [−1, 1], found by Newton's method on the Legendre polynomial. */
const [NODES, WEIGHTS] = gaussLegendre(20);

function gaussLegendre(n: number): [Float64Array, Float64Array] {
  const nodes = new Float64Array(n);
  const weights = new Float64Array(n);
  for (let i = 0; i < n; i++) {
    let x = Math.cos((Math.PI * (i + 0.75)) / (n + 0.5));
    let slope = 0;
    for (let pass = 0; pass < 8; pass++) {
      let p0 = 1;
      let p1 = x;
      for (let k = 2; k <= n; k++) [p0, p1] = [p1, ((2 * k - 1) * x * p1 - (k - 1) * p0) / k];
      slope = (n * (x * p1 - p0)) / (x * x - 1);
      x -= p1 / slope;
    }
    nodes[i] = x;
    weights[i] = 2 / ((1 - x * x) * slope * slope);
  }
  return [nodes, weights];
}

export class BetaDensity {
  readonly dimension: number;
  readonly #exponent: number;
  #scale: number;

  /** dimension: at least 3 */
  constructor(dimension: number) {
    this.dimension = dimension;
    this.#exponent = (dimension - 3) / 2;
    this.#scale = 1;
    this.#scale = 1 / (2 * this.mass(0, 1));
  }

  density(t: number): number {
    return this.#scale * (1 - t * t) ** this.#exponent;
  }

  /** Probability of [a, b], 0 ≤ a, with a relative error of about 1e-14 even far in the tail. */
  mass(a: number, b: number): number {
    return this.#scale * this.#integrate(a, b, () => 1);
  }

  /** ∫ (t − c)² f(t) dt over [a, b], 0 ≤ a, without the cancellation of E[t²] − c²·mass. */
  squaredError(a: number, b: number, c: number): number {
    return this.#scale * this.#integrate(a, b, (t) => (t - c) ** 2);
  }

  /** ∫ t f(t) dt over [a, b], in closed form. */
  firstMoment(a: number, b: number): number {
    const e = this.#exponent + 1;
    return (this.#scale * ((1 - a * a) ** e - (1 - b * b) ** e)) / (2 * e);
  }

  /** Integrates in pieces of at most two standard deviations. Beyond twelve of them the rest is below 1e-31 of the first piece. */
  #integrate(a: number, b: number, weight: (t: number) => number): number {
    const deviation = 1 / Math.sqrt(this.dimension);
    const end = Math.min(b, a + 12 * deviation);
    const numPieces = Math.max(1, Math.ceil((end - a) / (2 * deviation)));
    const half = (end - a) / numPieces / 2;
    let sum = 0;
    for (let piece = 0; piece < numPieces; piece++) {
      const middle = a + (2 * piece + 1) * half;
      for (let i = 0; i < NODES.length; i++) {
        const t = middle + half * NODES[i]!;
        sum += WEIGHTS[i]! * weight(t) * (1 - t * t) ** this.#exponent;
      }
    }
    return sum * half;
  }
}
