/**
 * @file Weighted sums of packed values: int16 weights times int16 centroids, the values of two keys in each multiplication. For
 * one or two rows, as in decode, values are multiplied as soon as they are unpacked; for more rows the tile is unpacked first.
 */
import { zipHigh32, zipLow32 } from "../simd/vector";
import { centroids, isHalved } from "./centroids";
import { codes, isQuads, oddCodes, planeBytes, valueGroup, valuePlane0, valuePlane1, valuePlane2 } from "./codes";
import {
  DIM, MAX_DIM, MAX_TILE, PLANE_0, PLANE_1, PLANE_2, ROW_BYTES, ROW_WBIAS, ROW_WSTEP, S_ACC, S_AT_HAND, S_ROWS, S_SCALES, S_SUMS, S_TILE,
  S_WEIGHTS, TABLE, TILE_COUNT, TILE_FIRST, TILE_PAGE, TILE_ROWS, TRELLIS,
} from "./params";
import { addSums, quantizeWeights } from "./weights";

/** Adds the integer sums of 16 coordinates to the accumulators of one row, brought back to natural order from the width's. */
// @ts-ignore: decorator
@inline function flush(BITS: i32, acc: usize, a: v128, b: v128, c: v128, e: v128, step: v128): void {
  if (BITS == 8) {
    addSums(acc, 0, a, step); addSums(acc, 16, b, step); addSums(acc, 32, c, step); addSums(acc, 48, e, step);
  } else if (!isQuads(BITS)) {
    addSums(acc, 0, zipLow32(a, c), step); addSums(acc, 16, zipHigh32(a, c), step);
    addSums(acc, 32, zipLow32(b, e), step); addSums(acc, 48, zipHigh32(b, e), step);
  } else {
    const ac = zipLow32(a, c), be = zipLow32(b, e), ac1 = zipHigh32(a, c), be1 = zipHigh32(b, e);
    addSums(acc, 0, zipLow32(ac, be), step); addSums(acc, 16, zipHigh32(ac, be), step);
    addSums(acc, 32, zipLow32(ac1, be1), step); addSums(acc, 48, zipHigh32(ac1, be1), step);
  }
}

/**
 * Sums vectors FIRST and FIRST + 1 of a group over all values of the tile. Each vector gives two i32x4; S_SUMS holds them as
 * [row][vector][half]. Two vectors already need eight accumulators for two rows, so quads take two passes.
 */
// @ts-ignore: decorator
@inline function sumParts(BITS: i32, ROWS: i32, FIRST: i32, scratch: usize, count: usize, r0: usize, r1: usize, r2: usize, b0: usize, b1: usize, b2: usize, t0: v128, t1: v128, t2: v128, t3: v128): void {
  const bias = i32x4.splat(isHalved(BITS) ? load<i32>(scratch + S_ROWS, ROW_WBIAS) : 0);
  const bias1 = i32x4.splat(isHalved(BITS) ? load<i32>(scratch + S_ROWS, ROW_BYTES + ROW_WBIAS) : 0);
  let a = bias, b = bias, c = bias, e = bias, f = bias1, g = bias1, h = bias1, k = bias1;
  const weights = scratch + S_WEIGHTS, end = weights + count * 2;
  for (let w = weights; w < end; w += 4) {
    const p0 = valuePlane0(BITS, r0, r0 + b0), p1 = valuePlane1(BITS, r1, r1 + b1, r0, r0 + b0), p2 = valuePlane2(BITS, r2, r2 + b2);
    const w0 = v128.load_splat<u32>(w);
    const first = codes(BITS, 1, FIRST, p0, p1, p2), firstOdd = oddCodes(BITS, 1, FIRST, p0, p1);
    const x = centroids(BITS, 0, first, firstOdd, t0, t1, t2, t3), y = centroids(BITS, 1, first, firstOdd, t0, t1, t2, t3);
    a = i32x4.add(a, i32x4.dot_i16x8_s(w0, x));
    b = i32x4.add(b, i32x4.dot_i16x8_s(w0, y));
    const second = codes(BITS, 1, FIRST + 1, p0, p1, p2), secondOdd = oddCodes(BITS, 1, FIRST + 1, p0, p1);
    const z = centroids(BITS, 0, second, secondOdd, t0, t1, t2, t3), u = centroids(BITS, 1, second, secondOdd, t0, t1, t2, t3);
    c = i32x4.add(c, i32x4.dot_i16x8_s(w0, z));
    e = i32x4.add(e, i32x4.dot_i16x8_s(w0, u));
    if (ROWS > 1) {
      const w1 = v128.load_splat<u32>(w, MAX_TILE * 2);
      f = i32x4.add(f, i32x4.dot_i16x8_s(w1, x));
      g = i32x4.add(g, i32x4.dot_i16x8_s(w1, y));
      h = i32x4.add(h, i32x4.dot_i16x8_s(w1, z));
      k = i32x4.add(k, i32x4.dot_i16x8_s(w1, u));
    }
    r0 += 2 * b0; r1 += 2 * b1; r2 += 2 * b2;
  }
  const to = scratch + S_SUMS + FIRST * 32;
  v128.store(to, a); v128.store(to, b, 16); v128.store(to, c, 32); v128.store(to, e, 48);
  if (ROWS > 1) {
    v128.store(to, f, 128); v128.store(to, g, 144); v128.store(to, h, 160); v128.store(to, k, 176);
  }
}

/** Adds the sums of a group of coordinates in S_SUMS to the accumulators of one row. */
// @ts-ignore: decorator
@inline function flushGroup(BITS: i32, scratch: usize, row: usize, acc: usize): void {
  const from = scratch + S_SUMS + row * 128;
  const to = acc + row * MAX_DIM * 4;
  const step = f32x4.splat(load<f32>(scratch + S_ROWS + row * ROW_BYTES, ROW_WSTEP));
  if (!isQuads(BITS)) {
    flush(BITS, to, v128.load(from), v128.load(from, 16), v128.load(from, 32), v128.load(from, 48), step);
  } else {
    flush(BITS, to, v128.load(from), v128.load(from, 32), v128.load(from, 64), v128.load(from, 96), step);
    flush(BITS, to + 64, v128.load(from, 16), v128.load(from, 48), v128.load(from, 80), v128.load(from, 112), step);
  }
}

/** Weighted sums of one or two rows directly from the codes, as in decode. */
// @ts-ignore: decorator
@inline function weighFused(BITS: i32, ROWS: i32, p: usize, side: usize, scratch: usize): void {
  const tile = scratch + S_AT_HAND;
  const page = <usize>load<u32>(tile, TILE_PAGE), first = <usize>load<u32>(tile, TILE_FIRST), count = <usize>load<u32>(tile, TILE_COUNT);
  const d = <usize>load<u32>(side, DIM);
  const group = valueGroup(BITS);
  const table = <usize>load<u32>(side, TABLE);
  const t0 = v128.load(table), t1 = v128.load(table, 16), t2 = v128.load(table, 32), t3 = v128.load(table, 48);
  const b0 = planeBytes(BITS, 0, d), b1 = planeBytes(BITS, 1, d), b2 = planeBytes(BITS, 2, d);
  let r0 = page + load<u32>(side, PLANE_0) + first * b0;
  let r1 = page + load<u32>(side, PLANE_1) + first * b1;
  let r2 = page + load<u32>(side, PLANE_2) + first * b2;
  quantizeWeights(side, scratch, 0, count, scratch + S_SCALES);
  if (ROWS > 1) quantizeWeights(side, scratch, 1, count, scratch + S_SCALES);
  let acc = scratch + S_ACC;
  for (let at: usize = 0; at < d; at += group) {
    sumParts(BITS, ROWS, 0, scratch, count, r0, r1, r2, b0, b1, b2, t0, t1, t2, t3);
    if (isQuads(BITS)) sumParts(BITS, ROWS, 2, scratch, count, r0, r1, r2, b0, b1, b2, t0, t1, t2, t3);
    flushGroup(BITS, scratch, 0, acc);
    if (ROWS > 1) flushGroup(BITS, scratch, 1, acc);
    acc += group * 4;
    r0 += planeBytes(BITS, 0, group); r1 += planeBytes(BITS, 1, group); r2 += planeBytes(BITS, 2, group);
  }
}

/** Stores the centroids of vector PART, codes 0–7 at `low` and codes 8–15 at `high`. */
// @ts-ignore: decorator
@inline function storePart(BITS: i32, PART: i32, low: usize, high: usize, p0: v128, p1: v128, p2: v128, t0: v128, t1: v128, t2: v128, t3: v128): void {
  const c = codes(BITS, 1, PART, p0, p1, p2), odd = oddCodes(BITS, 1, PART, p0, p1);
  v128.store(low, centroids(BITS, 0, c, odd, t0, t1, t2, t3));
  v128.store(high, centroids(BITS, 1, c, odd, t0, t1, t2, t3));
}

/** Unpacks the centroids of the tile's values into S_TILE, i16x8 [d / 16][pair of keys][4]. */
// @ts-ignore: decorator
@inline function unpackValues(BITS: i32, p: usize, side: usize, scratch: usize): void {
  const tile = scratch + S_AT_HAND;
  const page = <usize>load<u32>(tile, TILE_PAGE), first = <usize>load<u32>(tile, TILE_FIRST), count = <usize>load<u32>(tile, TILE_COUNT);
  const d = <usize>load<u32>(side, DIM);
  const group = valueGroup(BITS);
  const table = <usize>load<u32>(side, TABLE);
  const t0 = v128.load(table), t1 = v128.load(table, 16), t2 = v128.load(table, 32), t3 = v128.load(table, 48);
  const b0 = planeBytes(BITS, 0, d), b1 = planeBytes(BITS, 1, d), b2 = planeBytes(BITS, 2, d);
  let r0 = page + load<u32>(side, PLANE_0) + first * b0;
  let r1 = page + load<u32>(side, PLANE_1) + first * b1;
  let r2 = page + load<u32>(side, PLANE_2) + first * b2;
  const columns = count * 32;
  let to = scratch + S_TILE;
  for (let key: usize = 0; key < count; key += 2) {
    let u0 = r0, u1 = r1, u2 = r2, t = to;
    for (let at: usize = 0; at < d; at += group) {
      const p0 = valuePlane0(BITS, u0, u0 + b0), p1 = valuePlane1(BITS, u1, u1 + b1, u0, u0 + b0), p2 = valuePlane2(BITS, u2, u2 + b2);
      if (!isQuads(BITS)) {
        storePart(BITS, 0, t, t + 16, p0, p1, p2, t0, t1, t2, t3);
        storePart(BITS, 1, t + 32, t + 48, p0, p1, p2, t0, t1, t2, t3);
        t += columns;
      } else {
        storePart(BITS, 0, t, t + columns, p0, p1, p2, t0, t1, t2, t3);
        storePart(BITS, 1, t + 16, t + columns + 16, p0, p1, p2, t0, t1, t2, t3);
        storePart(BITS, 2, t + 32, t + columns + 32, p0, p1, p2, t0, t1, t2, t3);
        storePart(BITS, 3, t + 48, t + columns + 48, p0, p1, p2, t0, t1, t2, t3);
        t += 2 * columns;
      }
      u0 += planeBytes(BITS, 0, group); u1 += planeBytes(BITS, 1, group); u2 += planeBytes(BITS, 2, group);
    }
    to += 64;
    r0 += 2 * b0; r1 += 2 * b1; r2 += 2 * b2;
  }
}

/** Adds the weighted sums of one or two rows over the unpacked tile to their accumulators. */
// @ts-ignore: decorator
@inline function weighRows(BITS: i32, ROWS: i32, d: usize, scratch: usize, row: usize, count: usize): void {
  const state = scratch + S_ROWS + row * ROW_BYTES;
  const step = f32x4.splat(load<f32>(state, ROW_WSTEP)), step1 = f32x4.splat(load<f32>(state, ROW_BYTES + ROW_WSTEP));
  const bias = i32x4.splat(isHalved(BITS) ? load<i32>(state, ROW_WBIAS) : 0);
  const bias1 = i32x4.splat(isHalved(BITS) ? load<i32>(state, ROW_BYTES + ROW_WBIAS) : 0);
  const weights = scratch + S_WEIGHTS + row * MAX_TILE * 2, end = weights + count * 2;
  let acc = scratch + S_ACC + row * MAX_DIM * 4;
  let t = scratch + S_TILE;
  for (let at: usize = 0; at < d; at += 16) {
    let a = bias, b = bias, c = bias, e = bias, a1 = bias1, b1 = bias1, c1 = bias1, e1 = bias1;
    for (let w = weights; w < end; w += 4) {
      const w0 = v128.load_splat<u32>(w);
      const x = v128.load(t), y = v128.load(t, 16), z = v128.load(t, 32), u = v128.load(t, 48);
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
      t += 64;
    }
    flush(BITS, acc, a, b, c, e, step);
    if (ROWS > 1) flush(BITS, acc + MAX_DIM * 4, a1, b1, c1, e1, step1);
    acc += 64;
  }
}

// @ts-ignore: decorator
@inline function weighCodesOf(BITS: i32, p: usize, side: usize, scratch: usize): void {
  const rows = <usize>load<u32>(scratch + S_AT_HAND, TILE_ROWS), count = <usize>load<u32>(scratch + S_AT_HAND, TILE_COUNT);
  if (rows == 1) weighFused(BITS, 1, p, side, scratch);
  else if (rows == 2) weighFused(BITS, 2, p, side, scratch);
  else {
    unpackValues(BITS, p, side, scratch);
    const d = <usize>load<u32>(side, DIM);
    let row: usize = 0;
    for (; row < rows; row++) quantizeWeights(side, scratch, row, count, scratch + S_SCALES);
    for (row = 0; row + 1 < rows; row += 2) weighRows(BITS, 2, d, scratch, row, count);
    if (row < rows) weighRows(BITS, 1, d, scratch, row, count);
  }
}

// Each width has a function of its own, so that its inner loops are compiled without the branches of the others.
function weigh1(p: usize, side: usize, scratch: usize): void { weighCodesOf(1, p, side, scratch); }
function weigh2(p: usize, side: usize, scratch: usize): void { weighCodesOf(2, p, side, scratch); }
function weigh3(p: usize, side: usize, scratch: usize): void { weighCodesOf(3, p, side, scratch); }
function weigh4(p: usize, side: usize, scratch: usize): void { weighCodesOf(4, p, side, scratch); }
function weigh5(p: usize, side: usize, scratch: usize): void { weighCodesOf(5, p, side, scratch); }
function weigh6(p: usize, side: usize, scratch: usize): void { weighCodesOf(6, p, side, scratch); }
function weigh7(p: usize, side: usize, scratch: usize): void { weighCodesOf(7, p, side, scratch); }
function weigh8(p: usize, side: usize, scratch: usize): void { weighCodesOf(8, p, side, scratch); }
function weighTrellis(p: usize, side: usize, scratch: usize): void { weighCodesOf(TRELLIS, p, side, scratch); }

/**
 * Adds Σ weight · scale · centroid of the tile's values to S_ACC for all rows. bits: 1–8 or TRELLIS. S_SCALES has to hold the
 * values' scales, f32 [key].
 */
export function weighCodes(bits: i32, p: usize, side: usize, scratch: usize): void {
  switch (bits) {
    case 1: weigh1(p, side, scratch); break;
    case 2: weigh2(p, side, scratch); break;
    case 3: weigh3(p, side, scratch); break;
    case 4: weigh4(p, side, scratch); break;
    case 5: weigh5(p, side, scratch); break;
    case 6: weigh6(p, side, scratch); break;
    case 7: weigh7(p, side, scratch); break;
    case TRELLIS: weighTrellis(p, side, scratch); break;
    default: weigh8(p, side, scratch);
  }
}
