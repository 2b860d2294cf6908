/**
 * @file Scores and weighted sums of q8_0, which is stored as code + 128, and q4_0r, which is stored as code + 8. Int16 queries
 * and weights are multiplied by the codes. The scale of a block of 32 multiplies the sum over a key's block, and is part of the
 * weight of a value.
 *
 * Scores are computed for query rows in pairs, and each pair reads the keys again, because widening an integer is cheaper than
 * unpacking a tile. Values of more than two rows are unpacked by floats.ts instead, since the weights of every row would have
 * to be rounded anew for every block. At 4 bits, vectors hold even and odd coordinates, as in codes.ts.
 */
import { loadHalf, madd, transposeSumF32, zipHigh, zipHigh32, zipLow, zipLow32 } from "../simd/vector";
import {
  BLOCK_LENGTH, DIM, MAX_DIM, MAX_TILE, PLANE_0, ROW_BYTES, ROW_QSCALE, ROW_WSTEP, SCALES, S_ACC, S_AT_HAND, S_BLOCK_SCALES, S_QUERY16, S_ROWS, S_SCORES,
  S_SUMS, S_TOUCHED, S_WEIGHTS, TILE_AHEAD, TILE_AHEAD_STEP, TILE_COUNT, TILE_FIRST, TILE_PAGE, TILE_ROWS, TYPE_Q8_0,
} from "./params";
import { addSums, quantizeWeights } from "./weights";

const BLOCK: usize = BLOCK_LENGTH;

/** Writes the f16 scales of the tile's blocks as f32 into S_BLOCK_SCALES, [block][MAX_TILE]. */
function loadBlockScales(p: usize, side: usize, scratch: usize): void {
  const tile = scratch + S_AT_HAND;
  const page = <usize>load<u32>(tile, TILE_PAGE), first = <usize>load<u32>(tile, TILE_FIRST), count = <usize>load<u32>(tile, TILE_COUNT);
  const blocks = ((<usize>load<u32>(side, DIM) + BLOCK - 1) / BLOCK) as usize;
  let source = page + load<u32>(side, SCALES) + first * blocks * 2;
  for (let key: usize = 0; key < count; key++) {
    for (let b: usize = 0; b < blocks; b++) {
      store<f32>(scratch + S_BLOCK_SCALES + (b * MAX_TILE + key) * 4, loadHalf(source));
      source += 2;
    }
  }
}

/** Adds the dot product of 16 coordinates of a query with their codes. query: i16 [16] · codes: i8x16 · sum: i32x4 */
// @ts-ignore: decorator
@inline function addDot(sum: v128, query: usize, codes: v128): v128 {
  sum = i32x4.add(sum, i32x4.dot_i16x8_s(v128.load(query), i16x8.extend_low_i8x16_s(codes)));
  return i32x4.add(sum, i32x4.dot_i16x8_s(v128.load(query, 16), i16x8.extend_high_i8x16_s(codes)));
}

/** Half PART of a block's codes as signed bytes: coordinates 16 · PART and on at 8 bits, the even or the odd ones at 4 bits. */
// @ts-ignore: decorator
@inline function blockCodes(EIGHT: bool, PART: i32, at: usize): v128 {
  if (EIGHT) return v128.xor(v128.load(at + (PART == 0 ? 0 : 16)), i8x16.splat(-128));
  const plane = v128.load(at);
  return i8x16.sub(v128.and(PART == 0 ? plane : i16x8.shr_u(plane, 4), i8x16.splat(15)), i8x16.splat(8));
}

/** Adds the lanes of a row's sums in S_SUMS, multiplies them by the step of its query, and writes the row's scores. */
// @ts-ignore: decorator
@inline function reduceSums(row: usize, pair: usize, scratch: usize, count: usize): void {
  const scale = f32x4.splat(load<f32>(scratch + S_ROWS + row * ROW_BYTES, ROW_QSCALE));
  let from = scratch + S_SUMS + pair * MAX_TILE * 16;
  let to = scratch + S_SCORES + row * MAX_TILE * 4;
  for (let key: usize = 0; key < count; key += 4) {
    v128.store(to, f32x4.mul(transposeSumF32(v128.load(from), v128.load(from, 16), v128.load(from, 32), v128.load(from, 48)), scale));
    from += 64; to += 16;
  }
}

/** Scores of one row or of two neighbouring rows. The values are touched ahead, as in key-codes.ts. */
// @ts-ignore: decorator
@inline function scoreRows(EIGHT: bool, ROWS: i32, p: usize, side: usize, scratch: usize, row: usize): void {
  const tile = scratch + S_AT_HAND;
  const page = <usize>load<u32>(tile, TILE_PAGE), first = <usize>load<u32>(tile, TILE_FIRST), count = <usize>load<u32>(tile, TILE_COUNT);
  const aheadStep = <usize>load<u32>(tile, TILE_AHEAD_STEP);
  let ahead = <usize>load<u32>(tile, TILE_AHEAD);
  const d = <usize>load<u32>(side, DIM);
  const bytes = EIGHT ? d : d >> 1;
  const query = scratch + S_QUERY16 + row * MAX_DIM * 2, queryEnd = query + d * 2;
  let key = page + load<u32>(side, PLANE_0) + first * bytes;
  let scales = scratch + S_BLOCK_SCALES;
  const end = scratch + S_SUMS + count * 16;
  let touched: u32 = 0;
  for (let sums = scratch + S_SUMS; sums < end; sums += 16) {
    touched |= load<u8>(ahead);
    ahead += aheadStep;
    let x = f32x4.splat(0), x1 = f32x4.splat(0);
    let at = key, scale = scales;
    for (let q = query; q < queryEnd; q += BLOCK * 2) {
      const c = blockCodes(EIGHT, 0, at), e = blockCodes(EIGHT, 1, at), s = v128.load_splat<u32>(scale);
      x = madd(f32x4.convert_i32x4_s(addDot(addDot(i32x4.splat(0), q, c), q + 32, e)), s, x);
      if (ROWS > 1) x1 = madd(f32x4.convert_i32x4_s(addDot(addDot(i32x4.splat(0), q + MAX_DIM * 2, c), q + MAX_DIM * 2 + 32, e)), s, x1);
      at += EIGHT ? 32 : 16;
      scale += MAX_TILE * 4;
    }
    v128.store(sums, x);
    if (ROWS > 1) v128.store(sums, x1, MAX_TILE * 16);
    key += bytes;
    scales += 4;
  }
  store<u32>(scratch + S_TOUCHED, touched);
  reduceSums(row, 0, scratch, count);
  if (ROWS > 1) reduceSums(row + 1, 1, scratch, count);
}

// @ts-ignore: decorator
@inline function scoreAll(EIGHT: bool, p: usize, side: usize, scratch: usize): void {
  loadBlockScales(p, side, scratch);
  const rows = <usize>load<u32>(scratch + S_AT_HAND, TILE_ROWS);
  let row: usize = 0;
  for (; row + 1 < rows; row += 2) scoreRows(EIGHT, 2, p, side, scratch, row);
  if (row < rows) scoreRows(EIGHT, 1, p, side, scratch, row);
}

function scoreEight(p: usize, side: usize, scratch: usize): void { scoreAll(true, p, side, scratch); }
function scoreFour(p: usize, side: usize, scratch: usize): void { scoreAll(false, p, side, scratch); }

/** Writes the scores of the tile's keys for all rows to S_SCORES, f32 [row][MAX_TILE]. type: TYPE_Q8_0 or TYPE_Q4_0 */
export function scoreBlocks(type: i32, p: usize, side: usize, scratch: usize): void {
  if (type == TYPE_Q8_0) scoreEight(p, side, scratch);
  else scoreFour(p, side, scratch);
}

/** Adds the integer sums of 16 coordinates to the accumulators of one row, brought back to their natural order. */
// @ts-ignore: decorator
@inline function flush(EIGHT: bool, acc: usize, a: v128, b: v128, c: v128, e: v128, step: v128): void {
  if (EIGHT) {
    addSums(acc, 0, a, step); addSums(acc, 16, b, step); addSums(acc, 32, c, step); addSums(acc, 48, e, step);
  } else {
    addSums(acc, 0, zipLow32(a, c), step); addSums(acc, 16, zipHigh32(a, c), step);
    addSums(acc, 32, zipLow32(b, e), step); addSums(acc, 48, zipHigh32(b, e), step);
  }
}

/** Adds 16 coordinates of all values, times the weights of one or two rows, to the accumulators. Values are taken in pairs. */
// @ts-ignore: decorator
@inline function weighColumns(EIGHT: bool, ROWS: i32, scratch: usize, source: usize, bytes: usize, count: usize, acc: usize): void {
  let a = i32x4.splat(0), b = i32x4.splat(0), c = i32x4.splat(0), e = i32x4.splat(0);
  let a1 = i32x4.splat(0), b1 = i32x4.splat(0), c1 = i32x4.splat(0), e1 = i32x4.splat(0);
  const weights = scratch + S_WEIGHTS, end = weights + count * 2;
  for (let w = weights; w < end; w += 4) {
    let first: v128, second: v128;
    if (EIGHT) {
      const low = v128.xor(v128.load(source), i8x16.splat(-128)), high = v128.xor(v128.load(source + bytes), i8x16.splat(-128));
      first = zipLow(low, high);
      second = zipHigh(low, high);
    } else {
      const plane = zipLow(v128.load_zero<u64>(source), v128.load_zero<u64>(source + bytes));
      first = i8x16.sub(v128.and(plane, i8x16.splat(15)), i8x16.splat(8));
      second = i8x16.sub(v128.and(i16x8.shr_u(plane, 4), i8x16.splat(15)), i8x16.splat(8));
    }
    const x = i16x8.extend_low_i8x16_s(first), y = i16x8.extend_high_i8x16_s(first);
    const z = i16x8.extend_low_i8x16_s(second), u = i16x8.extend_high_i8x16_s(second);
    const w0 = v128.load_splat<u32>(w);
    a = i32x4.add(a, i32x4.dot_i16x8_s(w0, x));
    b = i32x4.add(b, i32x4.dot_i16x8_s(w0, y));
    c = i32x4.add(c, i32x4.dot_i16x8_s(w0, z));
    e = i32x4.add(e, i32x4.dot_i16x8_s(w0, u));
    if (ROWS > 1) {
      const w1 = v128.load_splat<u32>(w, MAX_TILE * 2);
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(w1, x));
      b1 = i32x4.add(b1, i32x4.dot_i16x8_s(w1, y));
      c1 = i32x4.add(c1, i32x4.dot_i16x8_s(w1, z));
      e1 = i32x4.add(e1, i32x4.dot_i16x8_s(w1, u));
    }
    source += 2 * bytes;
  }
  const state = scratch + S_ROWS;
  flush(EIGHT, acc, a, b, c, e, f32x4.splat(load<f32>(state, ROW_WSTEP)));
  if (ROWS > 1) flush(EIGHT, acc + MAX_DIM * 4, a1, b1, c1, e1, f32x4.splat(load<f32>(state, ROW_BYTES + ROW_WSTEP)));
}

/** Weighted sums of one or two rows. Scales belong to blocks, so the weights are rounded anew for each block. */
// @ts-ignore: decorator
@inline function weighRows(EIGHT: bool, ROWS: i32, p: usize, side: usize, scratch: usize): void {
  const tile = scratch + S_AT_HAND;
  const page = <usize>load<u32>(tile, TILE_PAGE), first = <usize>load<u32>(tile, TILE_FIRST), count = <usize>load<u32>(tile, TILE_COUNT);
  const d = <usize>load<u32>(side, DIM);
  const bytes = EIGHT ? d : d >> 1;
  const source = page + load<u32>(side, PLANE_0) + first * bytes;
  for (let at: usize = 0; at < d; at += 16) {
    if (at % BLOCK == 0) {
      const scales = scratch + S_BLOCK_SCALES + (at / BLOCK) * MAX_TILE * 4;
      quantizeWeights(side, scratch, 0, count, scales);
      if (ROWS > 1) quantizeWeights(side, scratch, 1, count, scales);
    }
    weighColumns(EIGHT, ROWS, scratch, source + (EIGHT ? at : at >> 1), bytes, count, scratch + S_ACC + at * 4);
  }
}

// @ts-ignore: decorator
@inline function weighAll(EIGHT: bool, p: usize, side: usize, scratch: usize): void {
  loadBlockScales(p, side, scratch);
  if (load<u32>(scratch + S_AT_HAND, TILE_ROWS) == 1) weighRows(EIGHT, 1, p, side, scratch);
  else weighRows(EIGHT, 2, p, side, scratch);
}

function weighEight(p: usize, side: usize, scratch: usize): void { weighAll(true, p, side, scratch); }
function weighFour(p: usize, side: usize, scratch: usize): void { weighAll(false, p, side, scratch); }

/** Adds Σ weight · scale · code of the tile's values to S_ACC, for one or two rows. type: TYPE_Q8_0 or TYPE_Q4_0 */
export function weighBlocks(type: i32, p: usize, side: usize, scratch: usize): void {
  if (type == TYPE_Q8_0) weighEight(p, side, scratch);
  else weighFour(p, side, scratch);
}
