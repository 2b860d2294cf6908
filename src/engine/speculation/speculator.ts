/**
 * @file Drafts of one continuation: how many tokens are proposed for its next step, and how many of them were right.
 *
 * A row costs time whether its token is right or not, so drafts are as long as they have been right: twice as long as one that was right
 * to its end, one more than what was right of another. Where not even one token was right, some steps have none, more of them each time. Nothing
 * here looks at a clock, and the answer does not depend on any of it.
 */
import type { RowDraw } from "../step-loop/step-loop.ts";
import type { DraftSource } from "./draft-source.ts";

/** Numbers of drafted tokens, and of those that were right. */
export interface DraftCounts {
  readonly drafted: number;
  readonly accepted: number;
}

/** Tokens of the first draft, where as many are allowed. */
const FIRST_TOKENS = 4;
/** The most steps without a draft between two drafts that are wrong. */
const LONGEST_PAUSE = 16;

export class Speculator implements DraftCounts {
  readonly #source: DraftSource;
  readonly #mostTokens: number;
  readonly #vocabSize: number;
  #drafted = 0;
  #accepted = 0;
  /** Both as they were before the latest draft. */
  #before: DraftCounts = { drafted: 0, accepted: 0 };
  /** Tokens of the next draft. */
  #length: number;
  /** Steps without a draft: as many as there were the last time, and those that are left. */
  #pause = 0;
  #pauseLeft = 0;

  /** source: released by `release` · mostTokens: of a step · vocabSize: of the model that checks */
  constructor(source: DraftSource, mostTokens: number, vocabSize: number) {
    this.#source = source;
    this.#mostTokens = mostTokens;
    this.#length = Math.min(FIRST_TOKENS, mostTokens);
    this.#vocabSize = vocabSize;
  }

  get drafted(): number {
    return this.#drafted;
  }

  get accepted(): number {
    return this.#accepted;
  }

  /**
   * Tokens for the next step, which reads the last of `tokens`; none where the answer is about to end, or where the source has no idea.
   * isRoom: whether pages for so many tokens are free, so that drafts take no room from others · mostRows: what others that share the step
   * leave of its drafted rows; default: all
   */
  async propose(
    tokens: readonly number[],
    draw: RowDraw,
    isRoom: (count: number) => boolean,
    mostRows = Number.POSITIVE_INFINITY,
  ): Promise<readonly number[]> {
    this.#learn();
    if (this.#pauseLeft > 0) {
      this.#pauseLeft--;
      return [];
    }
    // The step itself gives one token more than it has drafts.
    const most = Math.min(this.#length, mostRows, draw.left(tokens.length) - 1);
    if (most < 1 || !isRoom(1 + most)) return [];
    const proposed = (await this.#source.propose(tokens, most, draw)).slice(0, most);
    // What is no token cannot be right, and what stands behind it neither.
    const end = proposed.findIndex((token) => !(Number.isInteger(token) && token >= 0 && token < this.#vocabSize));
    return end < 0 ? proposed : proposed.slice(0, end);
  }

  /** What the latest draft says about the length of the next. */
  #learn(): void {
    const drafted = this.#drafted - this.#before.drafted;
    const accepted = this.#accepted - this.#before.accepted;
    this.#before = { drafted: this.#drafted, accepted: this.#accepted };
    if (drafted === 0) return;
    if (accepted === drafted) this.#length = Math.min(this.#mostTokens, Math.max(this.#length, 2 * drafted));
    else this.#length = accepted > 0 ? accepted + 1 : Math.max(1, drafted >> 1);
    if (accepted > 0) this.#pause = 0;
    else if (drafted === 1) this.#pauseLeft = this.#pause = Math.min(LONGEST_PAUSE, Math.max(1, 2 * this.#pause));
  }

  /** Counts the drafts of a step that has begun. */
  onDrafted(count: number): void {
    this.#drafted += count;
  }

  /** Counts one drafted token that was right. */
  onAccepted(): void {
    this.#accepted++;
  }

  /** Frees what the source holds; idempotent. */
  release(): void {
    this.#source.release();
  }
}
