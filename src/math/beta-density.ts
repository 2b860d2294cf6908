/**
 * @file The law of one coordinate of a random unit vector in d dimensions: f(t) ∝ (1 − t²)^((d−3)/2) on [−1, 1].
 * (t+1)/2 is Beta((d−1)/2, (d−1)/2); it tends to N(0, 1/d).
 */

/** Nodes and weights of 20-point Gauss–Legendre quadrature on [−1, 1], by Newton on the Legendre polynomial. */
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
  readonly #scale: number;

  /** dimension ≥ 3 */
  constructor(dimension: number) {
    this.dimension = dimension;
    this.#exponent = (dimension - 3) / 2;
    // Mass of the unnormalised density, split where it varies most.
    const width = Math.min(1, 8 / Math.sqrt(dimension));
    let sum = 0;
    for (let i = 0; i < 16; i++) sum += this.#integrate((i * width) / 16, ((i + 1) * width) / 16);
    if (width < 1) sum += this.#integrate(width, 1);
    this.#scale = 1 / (2 * sum);
  }

  density(t: number): number {
    return this.#scale * (1 - t * t) ** this.#exponent;
  }

  /** Probability of [a, b]; accurate for the narrow cells of a quantizer. */
  mass(a: number, b: number): number {
    return this.#scale * this.#integrate(a, b);
  }

  /** ∫ t f(t) dt over [a, b], in closed form. */
  firstMoment(a: number, b: number): number {
    const e = this.#exponent + 1;
    return (this.#scale * ((1 - a * a) ** e - (1 - b * b) ** e)) / (2 * e);
  }

  #integrate(a: number, b: number): number {
    const half = (b - a) / 2;
    const middle = (a + b) / 2;
    let sum = 0;
    for (let i = 0; i < NODES.length; i++) {
      const t = middle + half * NODES[i]!;
      sum += WEIGHTS[i]! * (1 - t * t) ** this.#exponent;
    }
    return sum * half;
  }
}
