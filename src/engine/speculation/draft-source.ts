/**
 * @file Who proposes the tokens that may follow, so that the model checks several of them in one step (speculative decoding, arXiv 2211.17192).
 *
 * A source can be wrong at no cost but time: each token of the answer is drawn from the model's own logits, as without a draft, and a draft only
 * saves the step in which it would have been read.
 */
import type { RowDraw } from "../step-loop/step-loop.ts";

export interface DraftSource {
  /**
   * tokens: prompt and answer so far, not modified · most: at least 1 · draw: how the answer's tokens are drawn
   * returns: at most `most` tokens that may follow; none where it has no idea
   */
  propose(tokens: readonly number[], most: number, draw: RowDraw): Promise<readonly number[]>;
  /** Frees what it holds; idempotent. */
  release(): void;
}
