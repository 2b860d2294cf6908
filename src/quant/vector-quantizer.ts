/** @file Codes and scale of one rotated vector: nearest centroids, optional scale search, scale rules. */
import { dot4 } from "../math/dot.ts";
import { getCodebook } from "./codebook.ts";
import type { ScaleRule } from "./kv-format.ts";

/** Factors tried by the search: nine equal steps from 0.85 to 1.18, in f32. */
export const SEARCH_FACTORS = Float32Array.from({ length: 9 }, (_, i) => 0.85 + (i * (1.18 - 0.85)) / 8);

/** Largest scale that f16 holds. */
const MAX_SCALE = 65504;

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
  /** The unit vector times √headDim of the last `quantize`, [headDim]. */
  readonly scaledInput: Float32Array;
  /** Centroids of the last `quantize` in the √headDim convention, [headDim]. */
  readonly centroids: Float32Array;
  readonly #scaled: Float32Array;
  readonly #boundaries: Float32Array;
  readonly #candidate: Float32Array;
  readonly #root: number;

  /** codebookIterations: as in `SideFormat` */
  constructor(headDim: number, bits: number, rule: ScaleRule, search: boolean, codebookIterations?: number) {
    const codebook = getCodebook(headDim, bits, codebookIterations);
    this.headDim = headDim;
    this.bits = bits;
    this.rule = rule;
    this.search = search;
    this.codes = new Uint8Array(headDim);
    this.scaledInput = new Float32Array(headDim);
    this.centroids = new Float32Array(headDim);
    this.#scaled = codebook.scaled;
    this.#boundaries = codebook.boundaries;
    this.#candidate = new Float32Array(headDim);
    this.#root = Math.fround(Math.sqrt(headDim));
  }

  /**
   * Quantizes y[offset .. offset+headDim), already rotated; results are in `codes`.
   * returns: the scale s of x̂ = s · c/√headDim, f32, clamped to what f16 holds, and the norm of y
   */
  quantize(y: Float32Array, offset = 0): { scale: number; norm: number } {
    const d = this.headDim;
    const norm = Math.fround(Math.sqrt(dot4(y, offset, y, offset, d)));
    const factor = norm > 0 ? Math.fround(this.#root / norm) : 0;
    const u = this.scaledInput;
    for (let i = 0; i < d; i++) u[i] = y[offset + i]! * factor;
    if (this.search) this.#searchFactor(u);
    else this.#assign(u, 1, this.centroids, this.codes);
    return { scale: Math.min(MAX_SCALE, this.#scale(norm, u)), norm };
  }

  #assign(u: Float32Array, factor: number, centroids: Float32Array, codes: Uint8Array | null): void {
    for (let i = 0; i < this.headDim; i++) {
      const index = nearestIndex(this.#boundaries, Math.fround(u[i]! * factor));
      centroids[i] = this.#scaled[index]!;
      if (codes) codes[i] = index;
    }
  }

  /** Keeps the factor whose codes point most nearly along u. */
  #searchFactor(u: Float32Array): void {
    const c = this.#candidate;
    let best = SEARCH_FACTORS[0]!;
    let bestCosine = Number.NEGATIVE_INFINITY;
    for (const factor of SEARCH_FACTORS) {
      this.#assign(u, factor, c, null);
      const length = Math.fround(Math.sqrt(dot4(c, 0, c, 0, this.headDim)));
      const cosine = Math.fround(dot4(u, 0, c, 0, this.headDim) / length);
      if (cosine > bestCosine) {
        bestCosine = cosine;
        best = factor;
      }
    }
    this.#assign(u, best, this.centroids, this.codes);
  }

  /** See docs/formats/kv-page.md, step 5. */
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
