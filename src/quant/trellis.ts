/**
 * @file Trellis-coded 2-bit codes: the value of a coordinate depends on its code and on the code before it.
 *
 * A row stores two bits a coordinate, but they choose among four of sixteen values, and the code before says which four: value
 * = TRELLIS_VALUES[before | code << 2]. So a writer that looks ahead (Viterbi's algorithm) has a finer choice than four fixed values, and a reader looks
 * up four neighbouring bits instead of two. Trellis-coded quantization is by Marcellin & Fischer (IEEE Trans. Comm. 38, 1990);
 * using windows of the bits themselves as states is from QTIP (arXiv 2406.11235). With error feedback, each survivor of the
 * search carries the targets that follow from its own errors.
 */

/** Coordinates in a chain. The first one of each chain has no code before it and uses 0, so a reader needs no bytes of other chains. */
export const TRELLIS_RUN = 32;
/** Number of codes and of states: the state is the code before. */
const STATES = 4;

/**
 * Values for vectors of norm √headDim, [before | code << 2]: from Lloyd's iterations with Viterbi's algorithm in place of the nearest centroid, on Gaussian runs of 32, the
 * best of 600 starts (`npx tsx tools/train-trellis.ts`).
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

/** Expected squared error of a unit vector whose rotated coordinates are Gaussian. That of 2-bit Lloyd–Max is 0.1175. */
export const TRELLIS_DISTORTION = 0.0942;

/** codes: [n] of 0 to 3, replaced by their indices in `TRELLIS_VALUES` */
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
  /** Targets of each survivor in the present run, [STATES][TRELLIS_RUN], and those of its successors. */
  #targets = Array.from({ length: STATES }, () => new Float32Array(TRELLIS_RUN));
  #next = Array.from({ length: STATES }, () => new Float32Array(TRELLIS_RUN));
  /** [TRELLIS_RUN][STATES]: the state that each survivor came from. */
  readonly #from = new Uint8Array(TRELLIS_RUN * STATES);

  constructor(headDim: number) {
    this.#headDim = headDim;
  }

  /**
   * Chooses the codes of coordinates [start, start + n), n up to TRELLIS_RUN: the chain with the least cost, without feedback
   * among all chains, with feedback among the survivors.
   * u: [headDim] of norm √headDim · target: [headDim]; u without feedback, otherwise u minus the feedback of the errors before
   * `start` · feedback: as in `SideTransform.feedback`, or null
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

  /**
   * Computes the targets of the survivor that takes `code` after `before`: those of its predecessor, minus the feedback of its error.
   */
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
