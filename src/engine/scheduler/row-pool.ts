/** @file One vector of a prompt: its rows behind the final norm, the last one or the mean of all, made to have unit length. */

/** `last`: the row of the last token, the only one that has seen the whole text. `mean`: of all tokens. */
export const POOLINGS = ["last", "mean"] as const;
export type Pooling = (typeof POOLINGS)[number];

export class RowPool {
  readonly #pooling: Pooling;
  /** In doubles and position after position, so that the sum does not depend on how a prompt is cut. */
  readonly #sum: Float64Array;
  /** Positions that have been added. */
  #count = 0;

  constructor(pooling: Pooling, width: number) {
    this.#pooling = pooling;
    this.#sum = new Float64Array(width);
  }

  /** rows: [n][width] of the positions from `at` on, or of the last one. Those of a prompt that is read again are known already. */
  add(rows: Float32Array, at: number): void {
    const width = this.#sum.length;
    if (this.#pooling === "last") {
      if (rows.length > 0) this.#sum.set(rows.subarray(rows.length - width));
      return;
    }
    for (let row = Math.max(0, this.#count - at); (row + 1) * width <= rows.length; row++, this.#count++) {
      for (let i = 0; i < width; i++) this.#sum[i]! += rows[row * width + i]!;
    }
  }

  /** Of unit length, so that the number of rows of a mean does not matter. */
  vector(): Float32Array {
    return unitVector(this.#sum);
  }
}

/** values: made to have unit length, after a cut to their first `dimensions`; what is all zeros stays so */
export function unitVector(values: Float64Array | Float32Array, dimensions = values.length): Float32Array {
  const kept = Float64Array.from(values.subarray(0, dimensions));
  const length = Math.hypot(...kept);
  return Float32Array.from(kept, (value) => (length > 0 ? value / length : 0));
}
