/**
 * @file The exported attention kernels. Decode attends to one split of the keys in each task and merges the splits afterwards;
 * prefill attends to all keys of a block of query positions in each task.
 */
import { unrotate } from "../store/rotate";
import { logOne } from "../simd/log";
import { expOne } from "../simd/vector";
import { attendRows } from "./block";
import {
  DIM, GROUP, MAX_DIM, MAX_ROWS, NUM_HEADS, NUM_KV_HEADS, NUM_SPLITS, OUT, PADDED, PARTIALS, HEAD_WEIGHTS, LOG_SUMS, ROWS_PER_BLOCK, SCORES, SCORE_STRIDE, ROW_BYTES, ROW_MAX, ROW_SUM,
  SPANS, SPAN_BYTES, SPAN_COUNT, SPAN_FIRST_BLOCK, SPAN_ROW, SPAN_START, SCRATCH_BYTES, SPLIT_TOKENS, S_ACC, S_END, S_ROWS, S_TILE, TOKENS_PER_ROW, VALUE_SCALE, V_SIDE,
} from "./params";
import { loadRows } from "./queries";
import { withSinkLogit } from "./softmax-terms";

/**
 * Number of query heads of a KV head that are processed together: the whole group if the scratch memory suffices, otherwise
 * equal parts of it. A short last part of one or two rows would go through other kernels than the parts before it.
 */
function headsOfPart(group: usize): usize {
  const parts = (group + MAX_ROWS - 1) / MAX_ROWS;
  return (group + parts - 1) / parts;
}

/**
 * Attends from one query position of one KV head to one split of the keys, and writes the unmerged result to PARTIALS.
 * task: (row of the step · numKvHeads + KV head) · numSplits + split. Splits have a fixed length in tokens, so that the result
 * does not depend on the number of threads.
 * result: f32 [row][query head][split][padded + 2], the maximum, the sum of weights and the unnormalized accumulator
 */
export function attendDecode(task: i32, p: usize, scratch: usize): void {
  if (S_END > SCRATCH_BYTES) ERROR("attention needs more scratch than SCRATCH_BYTES of src/backends/parameters/attention.ts");
  const splits = load<i32>(p, NUM_SPLITS), kvHeads = load<i32>(p, NUM_KV_HEADS);
  const split = task % splits;
  const head = <usize>((task / splits) % kvHeads);
  let row = task / splits / kvHeads;
  let span = <usize>load<u32>(p, SPANS);
  while (row >= load<i32>(span, SPAN_COUNT)) {
    row -= load<i32>(span, SPAN_COUNT);
    span += SPAN_BYTES;
  }
  const group = <usize>load<u32>(p, GROUP), padded = <usize>load<u32>(p, PADDED);
  const length = load<i32>(p, SPLIT_TOKENS);
  const index = <usize>(load<i32>(span, SPAN_ROW) + row) * <usize>load<u32>(p, NUM_HEADS) + head * group;
  const most = headsOfPart(group);
  for (let from: usize = 0; from < group; from += most) {
    const count = min<usize>(most, group - from);
    loadRows(p, scratch, span, head, load<i32>(span, SPAN_START) + row, 1, from, count);
    attendRows(p, scratch, span, head, count, split * length, (split + 1) * length);
    for (let g: usize = 0; g < count; g++) {
      const to = <usize>load<u32>(p, PARTIALS) + ((index + from + g) * <usize>splits + <usize>split) * (padded + 2) * 4;
      const state = scratch + S_ROWS + g * ROW_BYTES;
      store<f32>(to, load<f32>(state, ROW_MAX));
      store<f32>(to, load<f32>(state, ROW_SUM), 4);
      memory.copy(to + 8, scratch + S_ACC + g * MAX_DIM * 4, padded * 4);
    }
  }
}

/**
 * Merges the splits of one query head, divides by the sum of weights and undoes the rotation of V. task: row of the step ·
 * numHeads + query head · result: OUT, f32 [row][query head][dim of values]
 */
export function attendMerge(task: i32, p: usize, scratch: usize): void {
  const d = <usize>load<u32>(p + V_SIDE, DIM), padded = <usize>load<u32>(p, PADDED), splits = <usize>load<u32>(p, NUM_SPLITS);
  const stride = (padded + 2) * 4;
  const from = <usize>load<u32>(p, PARTIALS) + <usize>task * splits * stride;
  let most: f32 = -1e30;
  for (let s: usize = 0; s < splits; s++) most = max<f32>(most, load<f32>(from + s * stride));
  const acc = scratch + S_ACC;
  memory.fill(acc, 0, padded * 4);
  let sum: f32 = 0;
  for (let s: usize = 0; s < splits; s++) {
    const part = from + s * stride;
    const m = load<f32>(part);
    if (m < -1e29) continue;
    const factor = expOne(m - most);
    sum += factor * load<f32>(part, 4);
    const f = f32x4.splat(factor);
    for (let i: usize = 0; i < padded * 4; i += 16) {
      v128.store(acc + i, f32x4.add(v128.load(acc + i), f32x4.mul(f, v128.load(part + 8 + i))));
    }
  }
  const queryHead = <usize>task % <usize>load<u32>(p, NUM_HEADS), head = queryHead / <usize>load<u32>(p, GROUP);
  sum = withSinkLogit(p, queryHead, sum, most);
  storeLogSum(p, <usize>task, sum, most);
  normalize(acc, sum, load<f32>(p, VALUE_SCALE), d);
  memory.copy(<usize>load<u32>(p, OUT) + <usize>task * d * 4, unrotate(p, acc, 1, 0, d, head, scratch + S_TILE), d * 4);
}

/**
 * Attends from one block of query positions of one KV head to all their keys. task: block · numKvHeads + KV head; the blocks of
 * all spans are numbered in one sequence · result: OUT, f32 [row of the step][query head][dim of values]
 */
export function attendPrefill(task: i32, p: usize, scratch: usize): void {
  const kvHeads = load<i32>(p, NUM_KV_HEADS), perBlock = load<i32>(p, ROWS_PER_BLOCK);
  const head = <usize>(task % kvHeads);
  const block = task / kvHeads;
  let span = <usize>load<u32>(p, SPANS);
  while (block >= load<i32>(span, SPAN_FIRST_BLOCK) + (load<i32>(span, SPAN_COUNT) + perBlock - 1) / perBlock) span += SPAN_BYTES;
  const offset = (block - load<i32>(span, SPAN_FIRST_BLOCK)) * perBlock;
  const positions = min<i32>(perBlock, load<i32>(span, SPAN_COUNT) - offset);
  const first = load<i32>(span, SPAN_START) + offset;
  const group = <usize>load<u32>(p, GROUP), heads = <usize>load<u32>(p, NUM_HEADS), d = <usize>load<u32>(p + V_SIDE, DIM);
  const acc = scratch + S_ACC, stride = MAX_DIM * 4;
  const most = headsOfPart(group);
  for (let from: usize = 0; from < group; from += most) {
    const count = min<usize>(most, group - from), rows = <usize>positions * count;
    loadRows(p, scratch, span, head, first, positions, from, count);
    attendRows(p, scratch, span, head, rows, 0, (first + positions) / load<i32>(p, TOKENS_PER_ROW));
    for (let row: usize = 0; row < rows; row++) {
      const state = scratch + S_ROWS + row * ROW_BYTES;
      const sum = withSinkLogit(p, head * group + from + row % count, load<f32>(state, ROW_SUM), load<f32>(state, ROW_MAX));
      const index = (<usize>(load<i32>(span, SPAN_ROW) + offset) + row / count) * heads + head * group + from + row % count;
      storeLogSum(p, index, sum, load<f32>(state, ROW_MAX));
      normalize(acc + row * stride, sum, load<f32>(p, VALUE_SCALE), d);
    }
    const result = unrotate(p, acc, rows, stride, d, head, scratch + S_TILE);
    for (let row: usize = 0; row < rows; row++) {
      const index = (<usize>(load<i32>(span, SPAN_ROW) + offset) + row / count) * heads + head * group + from + row % count;
      memory.copy(<usize>load<u32>(p, OUT) + index * d * 4, result + row * stride, d * 4);
    }
  }
}

/**
 * Scores the keys of one split for a block of query positions by an indexer's heads, added up or each by itself. task: block · numSplits + split ·
 * result: SCORES, of the keys that each row sees
 */
export function scoreTokens(task: i32, p: usize, scratch: usize): void {
  const splits = load<i32>(p, NUM_SPLITS), perBlock = load<i32>(p, ROWS_PER_BLOCK), length = load<i32>(p, SPLIT_TOKENS);
  const split = task % splits, block = task / splits;
  let span = <usize>load<u32>(p, SPANS);
  while (block >= load<i32>(span, SPAN_FIRST_BLOCK) + (load<i32>(span, SPAN_COUNT) + perBlock - 1) / perBlock) span += SPAN_BYTES;
  const offset = (block - load<i32>(span, SPAN_FIRST_BLOCK)) * perBlock;
  const positions = min<i32>(perBlock, load<i32>(span, SPAN_COUNT) - offset);
  const first = load<i32>(span, SPAN_START) + offset;
  const tokensPerRow = load<i32>(p, TOKENS_PER_ROW);
  const low = split * length, high = min<i32>(low + length, (first + positions) / tokensPerRow);
  const group = <usize>load<u32>(p, GROUP), stride = <usize>load<u32>(p, SCORE_STRIDE);
  // Scores of single heads are stored and not added up.
  for (let n: i32 = 0; load<u32>(p, HEAD_WEIGHTS) != 0 && n < positions; n++) {
    const end = min<i32>(high, (first + n + 1) / tokensPerRow);
    if (end <= low) continue;
    const row = <usize>(load<i32>(span, SPAN_ROW) + offset + n);
    memory.fill(<usize>load<u32>(p, SCORES) + (row * stride + <usize>low) * 4, 0, <usize>(end - low) * 4);
  }
  if (high <= low) return;
  const most = headsOfPart(group);
  for (let from: usize = 0; from < group; from += most) {
    const count = min<usize>(most, group - from);
    loadRows(p, scratch, span, 0, first, positions, from, count);
    attendRows(p, scratch, span, 0, <usize>positions * count, low, high);
  }
}

/** Leaves the logarithm of a query's sum of weights where the layer's are asked for. most: the maximum that the sum is relative to */
function storeLogSum(p: usize, index: usize, sum: f32, most: f32): void {
  const to = <usize>load<u32>(p, LOG_SUMS);
  if (to) store<f32>(to + index * 4, sum > 0 ? most + logOne(sum) : -1e30);
}

/** Divides x by the sum of weights and multiplies it by `scale`; x becomes 0 when no key was attended to. x: f32 [d] · d: multiple of 8 */
function normalize(x: usize, sum: f32, scale: f32, d: usize): void {
  const inverse = f32x4.splat(sum > 0 ? scale / sum : 0);
  for (let i: usize = 0; i < d * 4; i += 16) v128.store(x + i, f32x4.mul(v128.load(x + i), inverse));
}
