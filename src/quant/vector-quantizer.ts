/**
 * @file Chooses codes and scale of one rotated vector: by nearest centroids,
 * a trellis or error feedback, with scale search and scale rules.
 *
 * How it works. The vector y of norm n is scaled to u = y/n · √headDim, whose coordinates have the codebook's distribution.
 * With search, nine factors are tried on u, and the one whose codes have the best cosine with u is kept. Codes are then the
 * nearest centroids of u times the factor; with error feedback each coordinate's target also contains the errors of those
 * before it (kv-transform.ts); with a trellis the codes of a run of 32 are chosen together (trellis.ts). At last the scale
 * follows from codes and vector by the side's scale rule. Every operation is f32, in the order of docs/formats/kv-page.md.
 */
import { dot4 } from "../math/dot.ts";
import { getCodebook } from "./codebook.ts";
import type { ScaleRule } from "./rules.ts";
import { MAX_FLOAT16 } from "./sanitize.ts";
import { TRELLIS_RUN, TRELLIS_VALUES, TrellisCoder, trellisPlaces } from "./trellis.ts";

/** Factors that the search tries: nine equal steps from 0.85 to 1.18, in f32. */
export const SEARCH_FACTORS = Float32Array.from({ length: 9 }, (_, i) => 0.85 + (i * (1.18 - 0.85)) / 8);

/** Their f32 inverses, which error feedback multiplies by. */
export const INVERSE_FACTORS = SEARCH_FACTORS.map((factor) => 1 / factor);

/** Number of boundaries below t. */
export function nearestIndex(boundaries: Float32Array, t: number): number {
  let low = 0;
  let high = boundaries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (boundaries[middle]! < t) low = middle + 1;
    else high = middle;
  }
  return low;
}

export class VectorQuantizer {
  readonly headDim: number;
  readonly bits: number;
  readonly rule: ScaleRule;
  readonly search: boolean;
  /** Codes of the last `quantize`, [headDim]. */
  readonly codes: Uint8Array;
  /** The unit vector of the last `quantize` times √headDim, [headDim]. */
  readonly scaledInput: Float32Array;
  /** Scaled centroids that the last `quantize` chose, [headDim]. */
  readonly centroids: Float32Array;
  readonly #scaled: Float32Array;
  readonly #boundaries: Float32Array;
  readonly #candidate: Float32Array;
  readonly #target: Float32Array;
  readonly #product: Float32Array;
  readonly #root: number;
  readonly #trellis: TrellisCoder | null;
  readonly #places: Uint8Array;

  /** codebookIterations, trellis: as in `SideFormat`; a trellis excludes search */
  constructor(
    headDim: number,
    bits: number,
    rule: ScaleRule,
    search: boolean,
    codebookIterations?: number,
    trellis = false,
  ) {
    const codebook = getCodebook(headDim, bits, codebookIterations);
    this.headDim = headDim;
    this.bits = bits;
    this.rule = rule;
    this.search = search && !trellis;
    this.codes = new Uint8Array(headDim);
    this.scaledInput = new Float32Array(headDim);
    this.centroids = new Float32Array(headDim);
    this.#scaled = codebook.scaled;
    this.#boundaries = codebook.boundaries;
    this.#candidate = new Float32Array(headDim);
    this.#target = new Float32Array(headDim);
    this.#product = new Float32Array(headDim);
    this.#root = Math.fround(Math.sqrt(headDim));
    this.#trellis = trellis ? new TrellisCoder(headDim) : null;
    this.#places = new Uint8Array(headDim);
  }

  /**
   * Quantizes y[offset .. offset+headDim), which is already rotated; the result is in `codes`.
   * feedback: [headDim + 1][headDim] of one head (`SideTransform.feedback`),
   * or null to round to the nearest. With it the scale rules use its metric
   * returns: the scale s of x̂ = s · c/√headDim, f32, clamped to the range of f16, and the norm of y
   */
  quantize(y: Float32Array, offset = 0, feedback: Float32Array | null = null): { scale: number; norm: number } {
    const d = this.headDim;
    const norm = Math.fround(Math.sqrt(dot4(y, offset, y, offset, d)));
    const factor = norm > 0 ? Math.fround(this.#root / norm) : 0;
    const u = this.scaledInput;
    for (let i = 0; i < d; i++) u[i] = y[offset + i]! * factor;
    const at = this.search ? this.#searchFactor(u) : -1;
    const alpha = at < 0 ? 1 : SEARCH_FACTORS[at]!;
    let scale: number;
    if (feedback) {
      const inverse = at < 0 ? 1 : INVERSE_FACTORS[at]!;
      this.#feedBack(u, alpha, inverse, feedback);
      scale = this.#metricScale(norm, inverse, feedback.subarray(d * d));
    } else {
      if (this.#trellis) this.#walk(this.#trellis, u);
      else this.#assign(u, alpha, this.centroids, this.codes);
      scale = this.#scale(norm, u);
    }
    return { scale: Math.max(-MAX_FLOAT16, Math.min(MAX_FLOAT16, scale)), norm };
  }

  #assign(u: Float32Array, factor: number, centroids: Float32Array, codes: Uint8Array | null): void {
    for (let i = 0; i < this.headDim; i++) {
      const index = nearestIndex(this.#boundaries, Math.fround(u[i]! * factor));
      centroids[i] = this.#scaled[index]!;
      if (codes) codes[i] = index;
    }
  }

  /** Codes and values by the trellis, without feedback. */
  #walk(trellis: TrellisCoder, u: Float32Array): void {
    for (let start = 0; start < this.headDim; start += TRELLIS_RUN) trellis.codeRun(u, u, null, start, this.codes);
    this.#places.set(this.codes);
    trellisPlaces(this.#places);
    for (let i = 0; i < this.headDim; i++) this.centroids[i] = TRELLIS_VALUES[this.#places[i]!]!;
  }

  /** Rounds one coordinate after the other; each rounding error changes the targets of the coordinates after it. */
  #feedBack(u: Float32Array, alpha: number, inverse: number, feedback: Float32Array): void {
    const d = this.headDim;
    const t = this.#target;
    const p = this.#product;
    t.set(u);
    p.set(u);
    for (let j = 0; j < d; j++) {
      const c = this.#trellis ? this.#chainedAt(this.#trellis, u, feedback, j) : this.#nearestAt(j, alpha);
      this.centroids[j] = c;
      const error = Math.fround(Math.fround(c * inverse) - u[j]!);
      for (let i = j + 1; i < d; i++) {
        const factor = feedback[j * d + i]!;
        t[i] = t[i]! - Math.fround(error * factor);
        p[i] = p[i]! + Math.fround(u[j]! * factor);
      }
    }
  }

  /** The code and the centroid nearest to target j. */
  #nearestAt(j: number, alpha: number): number {
    const index = nearestIndex(this.#boundaries, Math.fround(this.#target[j]! * alpha));
    this.codes[j] = index;
    return this.#scaled[index]!;
  }

  /** The same with a trellis, which chooses the codes of a whole run when the run begins. */
  #chainedAt(trellis: TrellisCoder, u: Float32Array, feedback: Float32Array, j: number): number {
    const isFirst = j % TRELLIS_RUN === 0;
    if (isFirst) trellis.codeRun(u, this.#target, feedback, j, this.codes);
    return TRELLIS_VALUES[(isFirst ? 0 : this.codes[j - 1]!) | (this.codes[j]! << 2)]!;
  }

  /**
   * The scale in the metric of the feedback. p = Uᵀu, and Uᵀc/α = (c/α − t) + p, where t is the target; so both lengths and the
   * inner product are sums over coordinates.
   */
  #metricScale(norm: number, inverse: number, weights: Float32Array): number {
    if (this.rule === "norm") return norm;
    const d = this.headDim;
    const p = this.#product;
    const w = this.#candidate;
    for (let i = 0; i < d; i++) {
      w[i] = Math.fround(Math.fround(this.centroids[i]! * inverse) - this.#target[i]!) + p[i]!;
    }
    const weighted = this.#target;
    for (let i = 0; i < d; i++) weighted[i] = weights[i]! * w[i]!;
    const square = dot4(weighted, 0, w, 0, d);
    const scaled = Math.fround(norm * inverse);
    if (this.rule === "least-squares") return Math.fround(Math.fround(scaled * dot4(weighted, 0, p, 0, d)) / square);
    for (let i = 0; i < d; i++) weighted[i] = weights[i]! * p[i]!;
    return Math.fround(scaled * Math.fround(Math.sqrt(Math.fround(dot4(weighted, 0, p, 0, d) / square))));
  }

  /** Index of the factor whose codes have the best cosine with u. */
  #searchFactor(u: Float32Array): number {
    const c = this.#candidate;
    let best = 0;
    let bestCosine = Number.NEGATIVE_INFINITY;
    for (const [at, factor] of SEARCH_FACTORS.entries()) {
      this.#assign(u, factor, c, null);
      const length = Math.fround(Math.sqrt(dot4(c, 0, c, 0, this.headDim)));
      const cosine = Math.fround(dot4(u, 0, c, 0, this.headDim) / length);
      if (cosine > bestCosine) {
        bestCosine = cosine;
        best = at;
      }
    }
    return best;
  }

  /** The scale by the rules in docs/formats/kv-page.md, step 5. */
  #scale(norm: number, u: Float32Array): number {
    const c = this.centroids;
    const d = this.headDim;
    if (this.rule === "norm") return norm;
    const square = dot4(c, 0, c, 0, d);
    if (this.rule === "norm-preserving") {
      return Math.fround(Math.fround(norm * this.#root) / Math.fround(Math.sqrt(square)));
    }
    return Math.fround(Math.fround(norm * dot4(u, 0, c, 0, d)) / square);
  }
}
