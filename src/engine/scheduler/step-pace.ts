/**
 * @file How many rows of prompts a step takes: as many as keep it short for requests that decode, few enough steps for those that wait.
 *
 * What a row costs differs a thousandfold between models, so it is measured. Answers do not depend on it: prompts are cut at
 * page ends wherever the cut falls (step-plan.ts).
 */

/** A step with prompts should take no longer, where the least number of rows allows; requests that decode wait so long for their next token. */
const TARGET_MS = 100;
/** Rows of prompts beyond which a step gains nothing. */
const MOST_ROWS = 512;
/** Weight of the latest step; the first steps after a start, with kernels still being compiled, are soon forgotten. */
const SHARE = 0.2;

export class StepPace {
  readonly #least: number;
  readonly #most: number;
  #msPerRow: number | null = null;

  /** least: rows of prompts in any case, what suits the backend · fixed: always so many, instead */
  constructor(least: number, fixed?: number) {
    this.#least = fixed ?? least;
    this.#most = fixed ?? Math.max(least, MOST_ROWS);
  }

  /** Rows that prompts may take beside `decodeRows` of choices that decode. */
  promptRows(decodeRows: number): number {
    if (this.#msPerRow === null) return this.#least;
    const rows = Math.floor(TARGET_MS / this.#msPerRow) - decodeRows;
    return Math.min(this.#most, Math.max(this.#least, rows));
  }

  /** A step took `ms`. Steps without prompts say nothing: their rows cost more, each by itself. */
  onStep(rows: number, decodeRows: number, ms: number): void {
    if (rows === decodeRows) return;
    const own = ms / rows;
    this.#msPerRow = this.#msPerRow === null ? own : this.#msPerRow + SHARE * (own - this.#msPerRow);
  }
}
