/** @file Which rows of a table the n-grams of a step's tokens have, in plain TypeScript, which defines it and is what backends on the CPU run. */
import type { Ngrams } from "./state-ops.ts";

/** Products are numbers of three digits of this base: doubles hold a digit times a token, and a remainder times the base. */
const BASE = 2 ** 21;

/** Kept between steps, so that decoding allocates nothing. */
export class NgramScratch {
  /** Digits of the hash of the tokens so far. */
  readonly hash = new Int32Array(3);
}

/**
 * tokens: of a span · before: what the state before it holds, or null for zeros · rows: those of the heads of each token, [tokens][heads]
 */
export function ngramRows(
  { size, endToken, multipliers, heads }: Ngrams,
  tokens: Int32Array,
  before: Float32Array | null,
  rows: Int32Array,
  { hash }: NgramScratch,
): void {
  const perLength = heads.length / (size - 1);
  for (let n = 0; n < tokens.length; n++) {
    hash.fill(0);
    let isOver = false;
    for (let back = 0; back < size; back++) {
      const token: number = isOver ? endToken : tokenAt(tokens, before, n - back, size - 1, endToken);
      // What is before an end is another text.
      if (back > 0 && token === endToken) isOver = true;
      mixIn(hash, token, multipliers[back]!);
      if (back === 0) continue;
      for (let h = (back - 1) * perLength; h < back * perLength; h++) {
        const { numRows, first } = heads[h]!;
        const high = (hash[2]! * BASE + hash[1]!) % numRows;
        rows[n * heads.length + h] = first + ((high * BASE + hash[0]!) % numRows);
      }
    }
  }
}

/** The state behind the first `count` tokens of a span. */
export function ngramTail(
  { size, endToken }: Pick<Ngrams, "size" | "endToken">,
  tokens: Int32Array,
  count: number,
  before: Float32Array | null,
  tail: Float32Array,
): void {
  const kept = size - 1;
  for (let i = 0; i < kept; i++) tail[i] = tokenAt(tokens, before, count - kept + i, kept, endToken) + 1;
}

/** at: from the first of the span on; those before it are the state's */
function tokenAt(tokens: Int32Array, before: Float32Array | null, at: number, kept: number, endToken: number): number {
  if (at >= 0) return tokens[at]!;
  const stored = before ? before[kept + at]! : 0;
  return stored > 0 ? stored - 1 : endToken;
}

/** hash xor= token · multiplier */
function mixIn(hash: Int32Array, token: number, [low, middle, high]: readonly [number, number, number]): void {
  const first = token * low;
  const second = token * middle + Math.floor(first / BASE);
  const third = token * high + Math.floor(second / BASE);
  hash[0] = hash[0]! ^ (first % BASE);
  hash[1] = hash[1]! ^ (second % BASE);
  hash[2] = hash[2]! ^ third;
}
