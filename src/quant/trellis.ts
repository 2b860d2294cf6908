/**
 * @file Trellis-coded 2-bit codes: a coordinate's value depends on its code and on the one before it.
 *
 * A row still stores two bits a coordinate, but they choose among four of sixteen values, and which four is said by the code
 * before: value = TRELLIS_VALUES[before | code << 2]. So a writer that looks ahead (Viterbi's algorithm) has a finer choice
 * than four fixed values, and a reader looks up four neighbouring bits instead of two. Trellis-coded quantization is of
 * Marcellin & Fischer (IEEE Trans. Comm. 38, 1990); that windows of the bits themselves may be the states is of QTIP
 * (arXiv 2406.11235). Here it meets error feedback: each survivor carries the targets that its own errors ask for.
 */

/** Coordinates of a chain: the first of each has no code before it and takes 0, so that readers need no other bytes. */
export const TRELLIS_RUN = 32;
/** Codes, and states: the code before is the state. */
const STATES = 4;

/**
 * Values for vectors of norm √headDim, [before | code << 2]: Lloyd's iterations with Viterbi's algorithm as the nearest-centroid
 * step, on Gaussian runs of 32, best of 600 starts (`npx tsx tools/train-trellis.ts`).
 */
export const TRELLIS_VALUES = Float32Array.of(
  0.3883,
  -0.2712,
  -2.0922,
  1.397,
  -1.4328,
  2.1462,
  -0.6442,
  0.5075,
  1.4098,
  0.67,
  0.0259,
  -0.9337,
  -0.4881,
  -1.2681,
  0.8981,
  -0.0497,
);

/** Expected squared error of a unit vector whose rotated coordinates are Gaussian. Lloyd–Max of 2 bits: 0.1175 */
export const TRELLIS_DISTORTION = 0.0942;

/** codes: [n] of 0 to 3, replaced by their places in `TRELLIS_VALUES`. */
export function trellisPlaces(codes: Uint8Array): void {
  let before = 0;
  for (let i = 0; i < codes.length; i++) {
    if (i % TRELLIS_RUN === 0) before = 0;
    const code = codes[i]!;
    codes[i] = before | (code << 2);
    before = code;
  }
}

export class TrellisCoder {
  readonly #headDim: number;
  /** Targets of each survivor in the run at hand, [STATES][TRELLIS_RUN], and those of its successors. */
  #targets = Array.from({ length: STATES }, () => new Float32Array(TRELLIS_RUN));
  #next = Array.from({ length: STATES }, () => new Float32Array(TRELLIS_RUN));
  /** [TRELLIS_RUN][STATES] the state that a survivor came from. */
  readonly #from = new Uint8Array(TRELLIS_RUN * STATES);

  constructor(headDim: number) {
    this.#headDim = headDim;
  }

  /**
   * Codes of coordinates [start, start + n) into `codes`, n up to TRELLIS_RUN: the chain whose errors cost least, of all without
   * feedback, of the survivors with it.
   * u: [headDim] of norm √headDim · target: [headDim] what is to be met, u where there is no feedback, else u less what
   * errors before `start` ask for · feedback: as in `SideTransform.feedback`, or null
   */
  codeRun(
    u: Float32Array,
    target: Float32Array,
    feedback: Float32Array | null,
    start: number,
    codes: Uint8Array,
  ): void {
    const d = this.#headDim;
    const n = Math.min(TRELLIS_RUN, d - start);
    // Before the first coordinate there is one survivor, in state 0.
    let cost = new Float32Array(1);
    for (const t of this.#targets) t.set(target.subarray(start, start + n));
    for (let j = 0; j < n; j++) {
      const weight = feedback ? feedback[d * d + start + j]! : 1;
      const costs = new Float32Array(STATES);
      for (let code = 0; code < STATES; code++) {
        let best = 0;
        let least = Number.POSITIVE_INFINITY;
        for (let before = 0; before < cost.length; before++) {
          const e = Math.fround(this.#targets[before]![j]! - TRELLIS_VALUES[before | (code << 2)]!);
          const price = Math.fround(cost[before]! + Math.fround(weight * Math.fround(e * e)));
          if (price < least) {
            least = price;
            best = before;
          }
        }
        costs[code] = least;
        this.#from[j * STATES + code] = best;
        this.#follow(u, feedback, start, n, j, best, code);
      }
      cost = costs;
      [this.#targets, this.#next] = [this.#next, this.#targets];
    }
    let state = 0;
    for (let s = 1; s < cost.length; s++) if (cost[s]! < cost[state]!) state = s;
    for (let j = n - 1; j >= 0; j--) {
      codes[start + j] = state;
      state = this.#from[j * STATES + state]!;
    }
  }

  /** Targets of the survivor that takes `code` after `before`: those of the one it comes from, less what its error asks for. */
  #follow(
    u: Float32Array,
    feedback: Float32Array | null,
    start: number,
    n: number,
    j: number,
    before: number,
    code: number,
  ): void {
    const d = this.#headDim;
    const old = this.#targets[before]!;
    const own = this.#next[code]!;
    if (!feedback) {
      own.set(old);
      return;
    }
    const error = Math.fround(TRELLIS_VALUES[before | (code << 2)]! - u[start + j]!);
    const row = (start + j) * d + start;
    for (let i = j + 1; i < n; i++) own[i] = old[i]! - Math.fround(error * feedback[row + i]!);
  }
}
