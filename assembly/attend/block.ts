/**
 * @file Attention of a block of query rows over a range of keys, in tiles with masks and online softmax (Milakov & Gimelshein,
 * arXiv 1805.02867). Codes and 16-bit copies add to the same accumulators, so they form one softmax.
 *
 * How it works. `loadRows` (queries.ts) copies the queries of one KV head into the scratch memory, as f32, or as int16 for codes. For each
 * row it records which keys the row attends to: from ROW_LOW, the start of its sliding window, to ROW_END. Keys below ROW_SINKS
 * are read as sinks, those from there up to ROW_RECENT as codes, and the rest from the residual window. `attendRows` then walks
 * three streams of keys: the 16-bit pages of the sinks, the pages of codes, and the 16-bit pages of the residual window. Where sinks
 * and window have 8 bits, they are read as codes too, after the pages of codes: the int16 query is rounded anew for them in between, because
 * its order and its bound are those of a width. Where older pages have grown coarser, the pages of codes are one stream a tier, from ROW_FROM up
 * to ROW_TO.
 *
 * For each tile of at most 64 keys of one page, `attendStream` computes the scores of all rows. `softmaxRow` masks the keys that
 * a row does not attend to, raises the row's maximum, rescales its accumulator and turns scores into weights. Then the values
 * of the tile are added with these weights. For one or two rows codes are multiplied as int16 directly from the page; for more
 * rows the tile is unpacked first. The caller divides by the sums and undoes the rotation.
 */
import { exp, expOne, horizontalMax, horizontalSum, loadHalves } from "../simd/vector";
import { scoreBlocks, weighBlocks } from "./block-codes";
import { addFloatScores, scoreFloats, weighFloats } from "./floats";
import { isCodes, isQuads } from "./codes";
import { addSketch, scoreCodes } from "./key-codes";
import { quantizeFor } from "./queries";
import { capScores } from "./softmax-terms";
import {
  RESIDUAL_K, RESIDUAL_ROTARY, RESIDUAL_TOKENS, RESIDUAL_V, ROTARY_DIM, ROTARY_PLANE, ROTARY_TYPE, DIM, HAS_RESIDUAL, K_SIDE, MAX_DIM, MAX_TILE,
  PADDED, PAGE_TOKENS, PLANE_0, ROW_BYTES, ROW_END, ROW_LOW, ROW_MAX, ROW_RECENT, ROW_SINKS, ROW_SUM, SCALES, HELD_BYTES, HELD_PAGES, HELD_TABLE,
  NUM_TIERS, ROW_FROM, ROW_TO, SPAN_TIERS, TIERS, TIER_AFTER, TIER_BYTES, TIER_K_SIDE, TIER_V_SIDE, CHOSEN, HEAD_WEIGHTS, ROW_CHOSEN, ROW_TARGET,
  ROW_WEIGHT, SCORES, SKETCH_FACTOR, SKETCH_MATRIX, SKETCH_NORMS, SOFTCAP, SPAN_RESIDUAL, SPAN_MAIN, STEP, S_ACC, S_AT_HAND, S_ROWS, S_SCALES,
  S_SCORES, TILE_AHEAD, TILE_AHEAD_STEP, TILE_COUNT, TILE_FIRST, TILE_HEAD, TILE_PAGE, TILE_PLANE, TILE_ROWS, K_WINDOW, V_WINDOW, TILE_TOKENS, TYPE,
  TYPE_F16, TYPE_F32, TYPE_KIVI, TYPE_Q4_0, TYPE_Q8_0, V_SIDE, WINDOW,
} from "./params";
import { weighCodes } from "./value-codes";

/** One past the last key that is in a tier, or in a coarser one, for the row whose keys end at `end`. tier: from 1 on */
// @ts-ignore: decorator
@inline function tierEnd(p: usize, span: usize, tier: usize, end: i32): i32 {
  const tokens = load<i32>(p, PAGE_TOKENS), after = load<i32>(<usize>load<u32>(p, TIERS) + (tier - 1) * TIER_BYTES, TIER_AFTER);
  const held = load<i32>(<usize>load<u32>(span, SPAN_TIERS) + (tier - 1) * HELD_BYTES, HELD_PAGES);
  return max<i32>(held, max<i32>(0, end - after) / tokens) * tokens;
}

/** Sets which keys each row reads from the pages of a tier. tier: 0 for the finest */
function setTier(p: usize, scratch: usize, span: usize, rows: usize, tier: usize): void {
  const numTiers = <usize>load<u32>(p, NUM_TIERS);
  for (let row: usize = 0; row < rows; row++) {
    const state = scratch + S_ROWS + row * ROW_BYTES;
    const end = load<i32>(state, ROW_END), sinks = load<i32>(state, ROW_SINKS), recent = load<i32>(state, ROW_RECENT);
    store<i32>(state, tier < numTiers ? max<i32>(sinks, tierEnd(p, span, tier + 1, end)) : sinks, ROW_FROM);
    store<i32>(state, tier > 0 ? min<i32>(recent, tierEnd(p, span, tier, end)) : recent, ROW_TO);
  }
}

/** Whether any row reads one of the keys [keyLow, keyHigh) from a stream. */
function isRead(stream: i32, scratch: usize, rows: usize, keyLow: i32, keyHigh: i32): bool {
  const firstRow = scratch + S_ROWS, lastRow = scratch + S_ROWS + (rows - 1) * ROW_BYTES;
  return max<i32>(lowOf(stream, firstRow), keyLow) < min<i32>(highOf(stream, lastRow), keyHigh);
}

/** The first key of a stream that a row attends to, and one past the last. stream: see `attendStream` */
// @ts-ignore: decorator
@inline function lowOf(stream: i32, state: usize): i32 {
  const low = load<i32>(state, ROW_LOW);
  return stream == 0 ? low : max<i32>(low, stream == 1 ? load<i32>(state, ROW_FROM) : load<i32>(state, ROW_RECENT));
}
// @ts-ignore: decorator
@inline function highOf(stream: i32, state: usize): i32 {
  return stream == 0 ? load<i32>(state, ROW_SINKS) : stream == 1 ? load<i32>(state, ROW_TO) : load<i32>(state, ROW_END);
}

/**
 * Turns a row's scores of one tile into weights by a step of the online softmax: updates the row's maximum and sum, and rescales
 * its accumulator when the maximum rises. Keys of the tile outside [from, to) get the weight 0, and so do those up to the next
 * multiple of eight after `count`, because kernels read whole vectors.
 */
function softmaxRow(scratch: usize, row: usize, padded: usize, from: usize, to: usize, count: usize): void {
  const state = scratch + S_ROWS + row * ROW_BYTES;
  const scores = scratch + S_SCORES + row * MAX_TILE * 4;
  const whole = (count + 7) & ~7;
  if (from >= to) {
    memory.fill(scores, 0, whole * 4);
    return;
  }
  for (let i: usize = 0; i < from; i++) store<f32>(scores + i * 4, -1e30);
  for (let i = to; i < whole; i++) store<f32>(scores + i * 4, -1e30);
  let top = v128.load(scores);
  for (let i: usize = 16; i < whole * 4; i += 16) top = f32x4.max(top, v128.load(scores + i));
  const before = load<f32>(state, ROW_MAX);
  const most = max<f32>(before, horizontalMax(top));
  let sum = load<f32>(state, ROW_SUM);
  if (most > before) {
    const factor = before > -1e29 ? expOne(before - most) : 0;
    sum *= factor;
    const f = f32x4.splat(factor);
    const acc = scratch + S_ACC + row * MAX_DIM * 4;
    for (let i: usize = 0; i < padded * 4; i += 16) v128.store(acc + i, f32x4.mul(v128.load(acc + i), f));
    store<f32>(state, most, ROW_MAX);
  }
  const m = f32x4.splat(most);
  let total = f32x4.splat(0);
  for (let i: usize = 0; i < whole * 4; i += 16) {
    const w = exp(f32x4.sub(v128.load(scores + i), m));
    v128.store(scores + i, w);
    total = f32x4.add(total, w);
  }
  // `exp` does not go below e^−87, so masked weights are set to exactly 0.
  if (from > 0 || to < whole) {
    for (let i: usize = 0; i < from; i++) store<f32>(scores + i * 4, 0);
    for (let i = to; i < whole; i++) store<f32>(scores + i * 4, 0);
    total = f32x4.splat(0);
    for (let i: usize = 0; i < whole * 4; i += 16) total = f32x4.add(total, v128.load(scores + i));
  }
  store<f32>(state, sum + horizontalSum(total), ROW_SUM);
}

/** Whether a row attends to any of the keys [low, low + count). Rows without a choice attend to all. low: multiple of 4 · count: at most 64 */
function isAnyChosen(scratch: usize, rows: usize, low: i32, count: i32): bool {
  for (let row: usize = 0; row < rows; row++) {
    const bits = <usize>load<u32>(scratch + S_ROWS + row * ROW_BYTES, ROW_CHOSEN);
    if (!bits) return true;
    for (let key = low; key < low + count; key += 4) {
      if ((load<u32>(bits + (<usize>(key >> 5) << 2)) >> (key & 31)) & 15) return true;
    }
  }
  return false;
}

/** Takes the scores of keys [from, to) of the tile out of the softmax that are not among the row's chosen ones. returns: whether any is */
function maskRow(scratch: usize, row: usize, low: i32, from: usize, to: usize): bool {
  const bits = <usize>load<u32>(scratch + S_ROWS + row * ROW_BYTES, ROW_CHOSEN);
  if (!bits) return true;
  const scores = scratch + S_SCORES + row * MAX_TILE * 4;
  let any = false;
  for (let i = from; i < to; i++) {
    const key = low + <i32>i;
    if ((load<u32>(bits + (<usize>(key >> 5) << 2)) >> (key & 31)) & 1) any = true;
    else store<f32>(scores + i * 4, -1e30);
  }
  return any;
}

/** Adds the positive scores of keys [from, to) of the tile, times the row's weight, to the sums of their positions, or leaves the scores there. */
function collectRow(scratch: usize, row: usize, low: i32, from: usize, to: usize, isSum: bool): void {
  const state = scratch + S_ROWS + row * ROW_BYTES, scores = scratch + S_SCORES + row * MAX_TILE * 4;
  const target = <usize>load<u32>(state, ROW_TARGET) + (<usize>low << 2), weight = load<f32>(state, ROW_WEIGHT);
  for (let i = from; i < to; i++) {
    const at = target + i * 4;
    const score = load<f32>(scores + i * 4);
    store<f32>(at, isSum ? load<f32>(at) + weight * max<f32>(score, 0) : score);
  }
}

/**
 * Writes the f16 scales of the tile's keys or values, times `factor`, as f32 into S_SCALES. offset: bytes from the beginning of
 * a page to its scales
 */
function loadScales(offset: usize, factor: f32, scratch: usize): void {
  const tile = scratch + S_AT_HAND;
  let source = <usize>load<u32>(tile, TILE_PAGE) + offset + <usize>load<u32>(tile, TILE_FIRST) * 2;
  const f = f32x4.splat(factor), end = scratch + S_SCALES + <usize>load<u32>(tile, TILE_COUNT) * 4;
  for (let to = scratch + S_SCALES; to < end; to += 16) {
    v128.store(to, f32x4.mul(loadHalves(source), f));
    source += 8;
  }
}

function isBlocks(type: i32): bool {
  return type == TYPE_Q8_0 || type == TYPE_Q4_0;
}

/** Bytes that a row takes in the first plane of a type. Only this plane, the widest, is touched ahead. */
function firstPlaneBytes(type: i32, d: usize): usize {
  if (type > TYPE_KIVI) type -= TYPE_KIVI;
  if (type == TYPE_F32) return d * 4;
  if (type == TYPE_F16) return d * 2;
  if (type == TYPE_Q8_0 || type == 8) return d;
  if (type == 1) return d >> 3;
  return type == TYPE_Q4_0 || !isQuads(type) ? d >> 1 : d >> 2;
}

/**
 * Attends from all rows to those of the keys [keyLow, keyHigh) that belong to one stream. stream: 0 for the 16-bit copies of the
 * sinks, 1 for the pages of codes, 2 for the 16-bit copies of the residual window · tier: 0, or that of the pages of codes, from 1 on
 */
function attendStream(stream: i32, p: usize, scratch: usize, span: usize, head: usize, rows: usize, keyLow: i32, keyHigh: i32, tier: usize = 0): void {
  const isMain = stream == 1;
  const tokens = <usize>load<u32>(p + (isMain ? PAGE_TOKENS : RESIDUAL_TOKENS));
  const coarser = tier ? <usize>load<u32>(p, TIERS) + (tier - 1) * TIER_BYTES : 0;
  const table = tier
    ? <usize>load<u32>(<usize>load<u32>(span, SPAN_TIERS) + (tier - 1) * HELD_BYTES, HELD_TABLE)
    : <usize>load<u32>(span + (isMain ? SPAN_MAIN : SPAN_RESIDUAL));
  const padded = <usize>load<u32>(p, PADDED);
  const softcap = load<f32>(p, SOFTCAP), collects = load<u32>(p, SCORES) != 0, isSum = load<u32>(p, HEAD_WEIGHTS) != 0;
  const kWindow = isMain ? 0 : <usize>load<u32>(p, K_WINDOW);
  const kSide = kWindow ? kWindow : coarser ? coarser + TIER_K_SIDE : p + K_SIDE;
  const vSide = kWindow ? <usize>load<u32>(p, V_WINDOW) : coarser ? coarser + TIER_V_SIDE : p + V_SIDE;
  const isOfSide = isMain || kWindow != 0;
  const rotaryDim = <usize>load<u32>(p, ROTARY_DIM), rotaryPlane = <usize>(isMain ? load<u32>(p, ROTARY_PLANE) : load<u32>(p, RESIDUAL_ROTARY));
  const kType = isOfSide ? load<i32>(kSide, TYPE) : TYPE_F16;
  const vType = isOfSide ? load<i32>(vSide, TYPE) : TYPE_F16;
  const kPlane = <usize>(isOfSide ? load<u32>(kSide, PLANE_0) : load<u32>(p, RESIDUAL_K));
  const vPlane = <usize>(isOfSide ? load<u32>(vSide, PLANE_0) : load<u32>(p, RESIDUAL_V));
  // Rows are ordered by position, so the first and the last row bound the keys of the stream that any row attends to.
  const firstRow = scratch + S_ROWS, lastRow = scratch + S_ROWS + (rows - 1) * ROW_BYTES;
  let low = max<i32>(lowOf(stream, firstRow), keyLow);
  const high = min<i32>(highOf(stream, lastRow), keyHigh);
  // Behind a window that stands alone there may be no page of codes at all.
  if (low >= high) return;
  const valueBytes = firstPlaneBytes(vType, <usize>load<u32>(vSide, DIM));
  // Unpacked floats take twice the room of int16, so tiles of floats are half as long.
  const longest = rows > 2 && ((!isCodes(kType) && !isBlocks(kType)) || !isCodes(vType)) ? MAX_TILE / 2 : MAX_TILE;
  // Kernels take keys in groups of four. The softmax masks keys before a row's first one.
  low &= ~3;
  const tile = scratch + S_AT_HAND;
  store<u32>(tile, <u32>tokens, TILE_TOKENS);
  store<u32>(tile, <u32>head, TILE_HEAD);
  store<u32>(tile, <u32>rows, TILE_ROWS);
  store<u32>(tile, <u32>valueBytes, TILE_AHEAD_STEP);
  while (low < high) {
    const index = <usize>low / tokens;
    const page = <usize>load<u32>(table + index * 4);
    const from = <usize>low - index * tokens;
    const count = (min<usize>(<usize>(high - low), min<usize>(tokens - from, longest)) + 3) & ~3;
    if (load<u32>(p, CHOSEN) && !isAnyChosen(scratch, rows, low, <i32>count)) {
      low += <i32>count;
      continue;
    }
    const first = head * tokens + from;
    store<u32>(tile, <u32>page, TILE_PAGE);
    store<u32>(tile, <u32>first, TILE_FIRST);
    store<u32>(tile, <u32>count, TILE_COUNT);
    store<u32>(tile, <u32>kPlane, TILE_PLANE);
    store<u32>(tile, <u32>(page + vPlane + first * valueBytes), TILE_AHEAD);

    if (isCodes(kType)) {
      loadScales(load<u32>(kSide, SCALES), load<f32>(kSide, STEP), scratch);
      scoreCodes(kType, p, kSide, scratch);
      if (load<u32>(kSide, SKETCH_MATRIX)) {
        loadScales(load<u32>(kSide, SKETCH_NORMS), load<f32>(kSide, SKETCH_FACTOR), scratch);
        addSketch(kSide, scratch);
      }
    } else if (isBlocks(kType)) scoreBlocks(kType, p, kSide, scratch);
    else scoreFloats(kType, p, kSide, scratch);
    if (rotaryDim) addFloatScores(isMain ? load<i32>(p, ROTARY_TYPE) : TYPE_F16, rotaryDim, rotaryPlane, <usize>load<u32>(kSide, DIM), scratch);
    if (softcap > 0) capScores(scratch, rows, count, softcap);

    for (let row: usize = 0; row < rows; row++) {
      const state = scratch + S_ROWS + row * ROW_BYTES;
      const rowLow = max<i32>(lowOf(stream, state), keyLow);
      const rowHigh = min<i32>(highOf(stream, state), keyHigh);
      const seen = <usize>max<i32>(rowLow - low, 0);
      let end = <usize>max<i32>(min<i32>(rowHigh - low, <i32>count), 0);
      if (collects) collectRow(scratch, row, low, seen, end, isSum);
      else {
        if (!maskRow(scratch, row, low, seen, end)) end = seen;
        softmaxRow(scratch, row, padded, seen, end, count);
      }
    }
    if (collects) {
      low += <i32>count;
      continue;
    }

    store<u32>(tile, <u32>vPlane, TILE_PLANE);
    if (isCodes(vType)) {
      loadScales(load<u32>(vSide, SCALES), 1, scratch);
      weighCodes(vType, p, vSide, scratch);
    } else if (isBlocks(vType) && rows <= 2) weighBlocks(vType, p, vSide, scratch);
    else weighFloats(vType, p, vSide, scratch);
    low += <i32>count;
  }
}

/** Attends from the loaded rows to those of the keys [keyLow, keyHigh) that are read from pages of codes, tier by tier. */
function attendCodes(p: usize, scratch: usize, span: usize, head: usize, rows: usize, keyLow: i32, keyHigh: i32): void {
  const numTiers = <usize>load<u32>(p, NUM_TIERS);
  if (numTiers) setTier(p, scratch, span, rows, 0);
  attendStream(1, p, scratch, span, head, rows, keyLow, keyHigh);
  for (let tier: usize = 1; tier <= numTiers; tier++) {
    setTier(p, scratch, span, rows, tier);
    if (!isRead(1, scratch, rows, keyLow, keyHigh)) continue;
    quantizeFor(<usize>load<u32>(p, TIERS) + (tier - 1) * TIER_BYTES + TIER_K_SIDE, scratch, rows);
    attendStream(1, p, scratch, span, head, rows, keyLow, keyHigh, tier);
  }
}

/**
 * Attends from the loaded rows to the keys [keyLow, keyHigh). Leaves each row's maximum and sum in its state and the unnormalized,
 * still rotated accumulators in S_ACC, f32 [row][MAX_DIM].
 */
export function attendRows(p: usize, scratch: usize, span: usize, head: usize, rows: usize, keyLow: i32, keyHigh: i32): void {
  const hasResidual = load<i32>(p, HAS_RESIDUAL) != 0;
  // Without a residual window no row reads a recent copy, but the rows' bounds would still include pages that do not exist.
  const hasWindow = hasResidual && load<i32>(p, WINDOW) > 0;
  if (load<u32>(p, K_WINDOW)) {
    attendCodes(p, scratch, span, head, rows, keyLow, keyHigh);
    // The query is not rounded again where no row reads a finer one.
    const readsSinks = isRead(0, scratch, rows, keyLow, keyHigh);
    const readsWindow = hasWindow && isRead(2, scratch, rows, keyLow, keyHigh);
    if (!readsSinks && !readsWindow) return;
    quantizeFor(<usize>load<u32>(p, K_WINDOW), scratch, rows);
    if (readsSinks) attendStream(0, p, scratch, span, head, rows, keyLow, keyHigh);
    if (readsWindow) attendStream(2, p, scratch, span, head, rows, keyLow, keyHigh);
    return;
  }
  if (hasResidual) attendStream(0, p, scratch, span, head, rows, keyLow, keyHigh);
  attendCodes(p, scratch, span, head, rows, keyLow, keyHigh);
  if (hasWindow) attendStream(2, p, scratch, span, head, rows, keyLow, keyHigh);
}
