/**
 * @file Prompt lookup: the last few tokens are looked for further up in prompt and answer, and what followed them there is proposed again.
 * It needs no second model, and is right where an answer repeats its prompt: quotes, summaries, code that is edited, lists.
 */
import type { DraftSource } from "./draft-source.ts";

export interface LookupRange {
  /** The most tokens that have to be the same, at least `min`. */
  readonly max: number;
  /** The fewest, at least 1. */
  readonly min: number;
}

/** Of the end of tokens[0, end), how many are those before tokens[length]; at most `max`. */
function commonEnd(tokens: readonly number[], end: number, max: number): number {
  const { length } = tokens;
  let count = 0;
  while (count < max && count < end && tokens[end - 1 - count] === tokens[length - 1 - count]) count++;
  return count;
}

/**
 * What followed the longest earlier occurrence of the last tokens, of equally long ones the latest. An occurrence that runs into the end is
 * taken to go on as a cycle.
 *
 * most: of tokens to return · returns: none where fewer than `min` tokens occurred before
 */
export function lookUp(tokens: readonly number[], { max, min }: LookupRange, most: number): number[] {
  const { length } = tokens;
  let best = 0;
  let from = 0;
  for (let end = length - 1; end >= min && best < max; end--) {
    // Nearly all positions are passed by this comparison alone.
    if (tokens[end - 1] !== tokens[length - 1]) continue;
    const count = commonEnd(tokens, end, max);
    if (count <= best) continue;
    best = count;
    from = end;
  }
  if (best < min) return [];
  return Array.from({ length: most }, (_, i) => tokens[from + (i % (length - from))]!);
}

export class PromptLookup implements DraftSource {
  readonly #range: LookupRange;

  constructor(range: LookupRange) {
    this.#range = range;
  }

  propose(tokens: readonly number[], most: number): Promise<readonly number[]> {
    return Promise.resolve(lookUp(tokens, this.#range, most));
  }

  release(): void {}
}
