/** @file The merges of a byte-pair encoding, as ids. */
import type { TextList } from "./text-list.ts";
import type { TokenList } from "./token-list.ts";

const SPACE = 0x20;

/** In the order of their ranks, the first one merged first. */
export class MergeList {
  readonly #tokens: TokenList;
  readonly left: Int32Array;
  readonly right: Int32Array;
  /** The token that the two become. */
  readonly result: Int32Array;

  constructor(tokens: TokenList, left: Int32Array, right: Int32Array, result: Int32Array) {
    this.#tokens = tokens;
    this.left = left;
    this.right = right;
    this.result = result;
  }

  get length(): number {
    return this.left.length;
  }

  /** What stands in a tokenizer.json. */
  toJSON(): [string, string][] {
    const textOf = (id: number): string => this.#tokens.text(id);
    return Array.from(this.left, (left, i) => [textOf(left), textOf(this.right[i]!)]);
  }
}

/**
 * A merge is two tokens and the first space that neither begins with. Those of tokens that the vocabulary does not have, as files with
 * a shortened vocabulary have them, can never be made.
 *
 * invalid: makes the error for a text that is no merge
 */
export function mergesOfTexts(tokens: TokenList, texts: TextList, invalid: (text: string) => Error): MergeList {
  const { bytes, starts, ends, length } = texts;
  const ids = [new Int32Array(length), new Int32Array(length), new Int32Array(length)] as const;
  const [left, right, result] = ids;
  let count = 0;
  for (let i = 0; i < length; i++) {
    const [start, end] = [starts[i]!, ends[i]!];
    let at = start + characterBytes(bytes[start]!);
    while (at < end && bytes[at] !== SPACE) at++;
    if (at >= end - 1) throw invalid(texts.text(i));
    const [a, b] = [tokens.findBytes(bytes, start, at), tokens.findBytes(bytes, at + 1, end)];
    const whole = a < 0 || b < 0 ? -1 : tokens.findJoined(a, b);
    if (whole < 0) continue;
    left[count] = a;
    right[count] = b;
    result[count++] = whole;
  }
  return new MergeList(tokens, left.subarray(0, count), right.subarray(0, count), result.subarray(0, count));
}

export interface ScoredMerges {
  readonly merges: MergeList;
  /** Of each merge its place among the scores, from the highest on; equal scores share one. */
  readonly ranks: number[];
}

/**
 * SentencePiece's BPE has scores and no merges: two neighbours become the token that they spell, the one of highest score
 * first, of equal ones the leftmost. As a list of merges that is every way to spell a token with two others, by falling score.
 *
 * isMade: whether a token may be made by merging
 */
export function mergesOfScores(
  tokens: TokenList,
  scores: ArrayLike<number>,
  isMade: (id: number) => boolean,
): ScoredMerges {
  const { bytes } = tokens;
  const lengths = lengthsOf(tokens);
  const [left, right, made]: number[][] = [[], [], []];
  for (let id = 0; id < tokens.length; id++) {
    if (!isMade(id)) continue;
    const [start, end] = [tokens.start(id), tokens.end(id)];
    const ways: (readonly [a: number, b: number])[] = [];
    for (let at = start + 1; at < end; at++) {
      // Looking a part up takes as long as the part is, of a token of megabytes for each of its characters.
      if ((bytes[at]! & 0xc0) === 0x80 || !lengths.has(at - start) || !lengths.has(end - at)) continue;
      const a = tokens.findBytes(bytes, start, at);
      const b = a < 0 ? -1 : tokens.findBytes(bytes, at, end);
      if (b >= 0) ways.push([a, b]);
    }
    if (ways.length > 1) ways.sort((x, y) => x[0] - y[0] || x[1] - y[1]);
    for (const [a, b] of ways) {
      left!.push(a);
      right!.push(b);
      made!.push(id);
    }
  }
  const order = byFallingScore(made!, scores);
  let rank = 0;
  const ranks = order.map((place, i) => {
    if (i > 0 && scores[made![place]!] !== scores[made![order[i - 1]!]!]) rank++;
    return rank;
  });
  const pick = (list: readonly number[]): Int32Array => Int32Array.from(order, (place) => list[place]!);
  const result = pick(made!).map((id) => tokens.lastLike(id));
  return { merges: new MergeList(tokens, pick(left!), pick(right!), result), ranks };
}

function lengthsOf(tokens: TokenList): Set<number> {
  const lengths = new Set<number>();
  for (let id = 0; id < tokens.length; id++) lengths.add(tokens.end(id) - tokens.start(id));
  lengths.delete(0);
  return lengths;
}

/** Places in the list of what is made, those of one score in their order. */
function byFallingScore(made: readonly number[], scores: ArrayLike<number>): number[] {
  const places = made.map((_, place) => place);
  const isSorted = made.every((id, place) => place === 0 || scores[made[place - 1]!]! >= scores[id]!);
  return isSorted ? places : places.sort((x, y) => scores[made[y]!]! - scores[made[x]!]! || x - y);
}

/** Of the character that begins with this byte. */
function characterBytes(first: number): number {
  return first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}
