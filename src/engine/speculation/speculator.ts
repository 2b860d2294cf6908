/** @file Drafts of one continuation: how many tokens are proposed for its next step, and how many of them were right. */
import type { RowDraw } from "../step-loop/step-loop.ts";
import type { DraftSource } from "./draft-source.ts";

/** Numbers of drafted tokens, and of those that were right. */
export interface DraftCounts {
  readonly drafted: number;
  readonly accepted: number;
}

export class Speculator implements DraftCounts {
  readonly #source: DraftSource;
  readonly #mostTokens: number;
  readonly #vocabSize: number;
  #drafted = 0;
  #accepted = 0;

  /** source: released by `release` · mostTokens: of a step · vocabSize: of the model that checks */
  constructor(source: DraftSource, mostTokens: number, vocabSize: number) {
    this.#source = source;
    this.#mostTokens = mostTokens;
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
   * isRoom: whether pages for so many tokens are free, so that drafts take no room from others
   */
  async propose(
    tokens: readonly number[],
    draw: RowDraw,
    isRoom: (count: number) => boolean,
  ): Promise<readonly number[]> {
    // The step itself gives one token more than it has drafts.
    const most = Math.min(this.#mostTokens, draw.left(tokens.length) - 1);
    if (most < 1 || !isRoom(1 + most)) return [];
    const proposed = (await this.#source.propose(tokens, most, draw)).slice(0, most);
    // What is no token cannot be right, and what stands behind it neither.
    const end = proposed.findIndex((token) => !(Number.isInteger(token) && token >= 0 && token < this.#vocabSize));
    return end < 0 ? proposed : proposed.slice(0, end);
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
