/**
 * @file The rows of drafted tokens of a step, which are good as long as the tokens that are drawn are those that were drafted.
 *
 * The step has written them to positions that its sequence has reserved and not committed. Each is committed when its token has been drawn, and
 * what is left is dropped when another one was: then the sequence is what it is without drafts.
 */
import type { DeviceSample } from "../../backends/sampling-ops.ts";
import type { Sequence } from "../../cache/sequence.ts";

/** What the next token is drawn from. */
export interface DrawnRow {
  /** [vocabSize]; empty where the device drew the token. */
  readonly logits: Float32Array;
  readonly sample: DeviceSample | null;
}

export class DraftedRows {
  readonly tokens: readonly number[];
  readonly #sequence: Sequence;
  readonly #rows: readonly DrawnRow[];
  readonly #ropeLength: (length: number) => number;
  #accepted = 0;
  #isOver = false;

  /** rows: what is drawn from behind each of the tokens · ropeLength: `Decoder.ropeLength` */
  constructor(
    tokens: readonly number[],
    rows: readonly DrawnRow[],
    sequence: Sequence,
    ropeLength: (length: number) => number,
  ) {
    this.tokens = tokens;
    this.#rows = rows;
    this.#sequence = sequence;
    this.#ropeLength = ropeLength;
  }

  /** Number of drafted tokens that were drawn. */
  get accepted(): number {
    return this.#accepted;
  }

  /**
   * Takes the token that was drawn from the row before. Where it was drafted, its row joins the sequence.
   * returns: what the token behind it is drawn from; null when that takes another step
   */
  follow(token: number): DrawnRow | null {
    if (this.#isOver) return null;
    if (this.tokens[this.#accepted] !== token) {
      this.drop();
      return null;
    }
    this.#sequence.commit(1, this.#ropeLength(this.#sequence.length + 1));
    return this.#rows[this.#accepted++]!;
  }

  /** Gives up the rows that were not followed; idempotent. */
  drop(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#sequence.dropReserved();
  }
}
