/**
 * @file Decides how many prompt rows a step takes: few enough that decoding requests get their tokens soon, and many enough
 * that prompts are read in few steps.
 *
 * The cost of a row differs a thousandfold between models, so it is measured. Results do not depend on it, because prompts are
 * cut at page ends only (step-plan.ts).
 */

/** A step with prompts should take at most this long, since decoding requests wait that long for their next token. */
const TARGET_MS = 100;
/** With more prompt rows than this a step does not become more efficient. */
const MOST_ROWS = 512;
/** Weight of the latest step in the average. It is large enough that slow first steps, which compile kernels, are soon forgotten. */
const SHARE = 0.2;

export class StepPace {
  readonly #least: number;
  readonly #most: number;
  #msPerRow: number | null = null;

  /** least: the minimum of prompt rows, which suits the backend · fixed: a constant number of rows instead */
  constructor(least: number, fixed?: number) {
    this.#least = fixed ?? least;
    this.#most = fixed ?? Math.max(least, MOST_ROWS);
  }

  /** What a row of a prompt takes; null before the first. */
  get msPerRow(): number | null {
    return this.#msPerRow;
  }

  /** The number of prompt rows for a step with `decodeRows` rows of decoding choices. */
  promptRows(decodeRows: number): number {
    if (this.#msPerRow === null) return this.#least;
    const rows = Math.floor(TARGET_MS / this.#msPerRow) - decodeRows;
    return Math.min(this.#most, Math.max(this.#least, rows));
  }

  /** Records that a step took `ms`. Steps without prompts are ignored, because a row costs more in them. */
  onStep(rows: number, decodeRows: number, ms: number): void {
    if (rows === decodeRows) return;
    const own = ms / rows;
    this.#msPerRow = this.#msPerRow === null ? own : this.#msPerRow + SHARE * (own - this.#msPerRow);
  }
}
