/** @file The choice of the best of many scores in plain TypeScript, which defines it and is what backends on the CPU run. */

import type { TokenBlocks, TokenRuns } from "./attention-layer.ts";

/** Kept between rows, so that decoding allocates nothing. */
export class ChoiceScratch {
  #values = new Float32Array(0);
  #worth = new Float32Array(0);
  #blocks = new Float32Array(0);

  /** A copy of the scores, which may be put in another order. */
  copyOf(scores: Float32Array): Float32Array {
    if (this.#values.length < scores.length) this.#values = new Float32Array(2 * scores.length);
    const own = this.#values.subarray(0, scores.length);
    own.set(scores);
    return own;
  }

  worthOf(numBlocks: number): Float32Array {
    if (this.#worth.length < numBlocks) this.#worth = new Float32Array(2 * numBlocks);
    return this.#worth.subarray(0, numBlocks);
  }

  blocksOf(count: number): Float32Array {
    if (this.#blocks.length !== count) this.#blocks = new Float32Array(count);
    return this.#blocks;
  }
}

/**
 * Writes the positions of the `count` largest scores, ascending, and -1 behind them where there are fewer. Of equal scores the first are taken; one
 * that is no number is less than all others.
 *
 * positions: those of the row, [count]
 */
export function chooseBest(scores: Float32Array, count: number, positions: Float32Array, scratch: ChoiceScratch): void {
  let to = 0;
  if (scores.length <= count) {
    for (; to < scores.length; to++) positions[to] = to;
    positions.fill(-1, to);
    return;
  }
  const values = scratch.copyOf(scores);
  for (let i = 0; i < values.length; i++) if (Number.isNaN(values[i]!)) values[i] = Number.NEGATIVE_INFINITY;
  const least = nthLargest(values, count);
  let above = 0;
  for (const value of values) if (value > least) above++;
  let equal = count - above;
  for (let i = 0; i < scores.length; i++) {
    const score = Number.isNaN(scores[i]!) ? Number.NEGATIVE_INFINITY : scores[i]!;
    if (score < least || (score === least && equal-- <= 0)) continue;
    positions[to++] = i;
  }
}

/**
 * Writes the positions of the tokens of the best blocks, ascending, and -1 behind them. A block is worth its best score.
 *
 * scores: of the positions up to the row's own · positions: those of the list, [blocks.count · blocks.size]
 */
export function chooseBlocks(
  scores: Float32Array,
  { size, count, local }: TokenBlocks,
  positions: Float32Array,
  scratch: ChoiceScratch,
): void {
  const numBlocks = Math.ceil(scores.length / size);
  const worth = scratch.worthOf(numBlocks);
  for (let block = 0; block < numBlocks; block++) {
    let best = block >= numBlocks - local ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
    const end = Math.min(scores.length, (block + 1) * size);
    for (let i = block * size; i < end; i++) if (scores[i]! > best) best = scores[i]!;
    worth[block] = best;
  }
  const blocks = scratch.blocksOf(count);
  chooseBest(worth, count, blocks, scratch);
  let to = 0;
  for (const block of blocks) {
    if (block < 0) break;
    const end = Math.min(scores.length, (block + 1) * size);
    for (let i = block * size; i < end; i++) positions[to++] = i;
  }
  positions.fill(-1, to);
}

/**
 * Writes the positions of the tokens of the best rows, ascending, then those behind the last whole row, and -1 behind them.
 *
 * scores: of the rows that are whole at the token · length: tokens up to it, its own included · positions: [runs.count · runs.size + runs.size − 1]
 */
export function chooseRuns(
  scores: Float32Array,
  { size, count }: TokenRuns,
  length: number,
  positions: Float32Array,
  scratch: ChoiceScratch,
): void {
  const rows = scratch.blocksOf(count);
  chooseBest(scores, count, rows, scratch);
  let to = 0;
  for (const row of rows) {
    if (row < 0) break;
    for (let i = row * size; i < (row + 1) * size; i++) positions[to++] = i;
  }
  for (let i = scores.length * size; i < length; i++) positions[to++] = i;
  positions.fill(-1, to);
}

/** The n-th largest value, counted from 1. Puts the values in another order. */
function nthLargest(values: Float32Array, n: number): number {
  let [low, high] = [0, values.length - 1];
  const target = n - 1;
  while (low < high) {
    const pivot = values[(low + high) >> 1]!;
    let [i, j] = [low, high];
    while (i <= j) {
      while (values[i]! > pivot) i++;
      while (values[j]! < pivot) j--;
      if (i > j) break;
      const other = values[i]!;
      values[i++] = values[j]!;
      values[j--] = other;
    }
    if (target <= j) high = j;
    else if (target >= i) low = i;
    else break;
  }
  return values[target]!;
}
