/** @file Weighted sums of a tile's values into the f32 accumulators, from codes or from floats. */
import { halfHigh, halfLow, HALF_BIAS, horizontalMax, horizontalSum, madd } from "../simd/vector";
import {
  HEAD_DIM, LARGEST, MAX_DIM, MAX_TILE, PADDED, PAGE_TOKENS, PLANE_0, PLANE_1, PLANE_2, S_ACC, S_SCALES, S_SCORES, S_TILE, S_WEIGHTS,
  STEP, TABLE, TYPE_F16,
} from "./params";
import { unpackFloatSide } from "./score";
import { centroids, unit, unitStep } from "./unpack";

/** Bytes of a row in a plane of a width. */
// @ts-ignore: decorator
@inline function rowBytes(BITS: i32, PLANE: i32, d: usize): usize {
  return (d >> 4) * unitStep(BITS, PLANE) + ((d & 8) ? unitStep(BITS, PLANE) >> 1 : 0);
}

/**
 * Weights of a row times the values' scales, as int16: the scores row becomes the int16 row.
 * The step is chosen so that no sum of weight · centroid leaves 32 bits: min(32767/max, (2³¹/largest)/Σ).
 * returns: f32 value of one step of an accumulated product
 */
// @ts-ignore: decorator
@inline function quantizeWeights(side: usize, scratch: usize, row: usize, count: usize): f32 {
  const scores = scratch + S_SCORES + row * MAX_TILE * 4;
  let top = f32x4.splat(0), sum = f32x4.splat(0);
  for (let i: usize = 0; i < count * 4; i += 16) {
    const w = f32x4.mul(v128.load(scores + i), v128.load(scratch + S_SCALES + i));
    v128.store(scores + i, w);
    const a = f32x4.abs(w);
    top = f32x4.max(top, a);
    sum = f32x4.add(sum, a);
  }
  const most = horizontalMax(top);
  const total = horizontalSum(sum);
  const largest = load<f32>(side, LARGEST);
  const scale: f32 = most > 1e-30 ? min<f32>(<f32>32767 / most, (<f32>2147480000 / largest - <f32>64) / total) : 0;
  const s = f32x4.splat(scale);
  let to = scratch + S_WEIGHTS + row * MAX_TILE * 2;
  // Whole eights: the lanes past `count` of the scores row are zero (softmax clears them).
  for (let i: usize = 0; i < count * 4; i += 32) {
    const a = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(scores + i), s)));
    const b = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(scores + i, 16), s)));
    v128.store(to, i16x8.narrow_i32x4_s(a, b));
    to += 16;
  }
  return scale > 0 ? load<f32>(side, STEP) / scale : 0;
}

/** Adds even/odd int32 sums of eight coordinates to the accumulators in natural order. */
// @ts-ignore: decorator
@inline function flush(to: usize, even: v128, odd: v128, step: v128): void {
  const low = f32x4.convert_i32x4_s(v128.shuffle<u32>(even, odd, 0, 4, 1, 5));
  const high = f32x4.convert_i32x4_s(v128.shuffle<u32>(even, odd, 2, 6, 3, 7));
  v128.store(to, f32x4.add(v128.load(to), f32x4.mul(low, step)));
  v128.store(to, f32x4.add(v128.load(to, 16), f32x4.mul(high, step)), 16);
}

/** One or two rows straight from the codes, two keys at a time. */
// @ts-ignore: decorator
@inline function valueFused(BITS: i32, ROWS: i32, p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize): void {
  const d = <usize>load<u32>(p, HEAD_DIM);
  const tokens = <usize>load<u32>(p, PAGE_TOKENS);
  const table = <usize>load<u32>(side, TABLE);
  const b0 = rowBytes(BITS, 0, d), b1 = rowBytes(BITS, 1, d), b2 = rowBytes(BITS, 2, d);
  const s0 = unitStep(BITS, 0), s1 = unitStep(BITS, 1), s2 = unitStep(BITS, 2);
  let r0 = page + load<u32>(side, PLANE_0) + (head * tokens + from) * b0;
  let r1 = page + load<u32>(side, PLANE_1) + (head * tokens + from) * b1;
  let r2 = page + load<u32>(side, PLANE_2) + (head * tokens + from) * b2;
  const step = f32x4.splat(quantizeWeights(side, scratch, 0, count));
  const step1 = ROWS > 1 ? f32x4.splat(quantizeWeights(side, scratch, 1, count)) : step;
  const weights = scratch + S_WEIGHTS;
  let acc = scratch + S_ACC;
  for (let at: usize = 0; at < d; at += 16) {
    let e0 = i32x4.splat(0), e1 = i32x4.splat(0), o0 = i32x4.splat(0), o1 = i32x4.splat(0);
    let f0 = i32x4.splat(0), f1 = i32x4.splat(0), g0 = i32x4.splat(0), g1 = i32x4.splat(0);
    let k0 = r0, k1 = r1, k2 = r2;
    for (let w = weights; w < weights + count * 2; w += 4) {
      const w0 = v128.load_splat<u32>(w);
      const w1 = ROWS > 1 ? v128.load_splat<u32>(w, MAX_TILE * 2) : w0;
      const even = unit(BITS, 0, k0, k0 + b0, k1, k1 + b1, k2, k2 + b2);
      let c = centroids(BITS, 0, even, table);
      e0 = i32x4.add(e0, i32x4.dot_i16x8_s(w0, c));
      if (ROWS > 1) f0 = i32x4.add(f0, i32x4.dot_i16x8_s(w1, c));
      c = centroids(BITS, 1, even, table);
      e1 = i32x4.add(e1, i32x4.dot_i16x8_s(w0, c));
      if (ROWS > 1) f1 = i32x4.add(f1, i32x4.dot_i16x8_s(w1, c));
      const odd = unit(BITS, 1, k0, k0 + b0, k1, k1 + b1, k2, k2 + b2);
      c = centroids(BITS, 0, odd, table);
      o0 = i32x4.add(o0, i32x4.dot_i16x8_s(w0, c));
      if (ROWS > 1) g0 = i32x4.add(g0, i32x4.dot_i16x8_s(w1, c));
      c = centroids(BITS, 1, odd, table);
      o1 = i32x4.add(o1, i32x4.dot_i16x8_s(w0, c));
      if (ROWS > 1) g1 = i32x4.add(g1, i32x4.dot_i16x8_s(w1, c));
      k0 += 2 * b0; k1 += 2 * b1; k2 += 2 * b2;
    }
    flush(acc, e0, o0, step);
    flush(acc + 32, e1, o1, step);
    if (ROWS > 1) {
      flush(acc + MAX_DIM * 4, f0, g0, step1);
      flush(acc + MAX_DIM * 4 + 32, f1, g1, step1);
    }
    acc += 64;
    r0 += s0; r1 += s1; r2 += s2;
  }
}

/** int16 centroids of pairs of keys into S_TILE: [pair][unit][e0 e1 o0 o1]. */
// @ts-ignore: decorator
@inline function unpackValues(BITS: i32, p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize): void {
  const d = <usize>load<u32>(p, HEAD_DIM);
  const tokens = <usize>load<u32>(p, PAGE_TOKENS);
  const table = <usize>load<u32>(side, TABLE);
  const b0 = rowBytes(BITS, 0, d), b1 = rowBytes(BITS, 1, d), b2 = rowBytes(BITS, 2, d);
  const s0 = unitStep(BITS, 0), s1 = unitStep(BITS, 1), s2 = unitStep(BITS, 2);
  let r0 = page + load<u32>(side, PLANE_0) + (head * tokens + from) * b0;
  let r1 = page + load<u32>(side, PLANE_1) + (head * tokens + from) * b1;
  let r2 = page + load<u32>(side, PLANE_2) + (head * tokens + from) * b2;
  let to = scratch + S_TILE;
  for (let key: usize = 0; key < count; key += 2) {
    let k0 = r0, k1 = r1, k2 = r2;
    let t = to;
    for (let at: usize = 0; at < d; at += 16) {
      const even = unit(BITS, 0, k0, k0 + b0, k1, k1 + b1, k2, k2 + b2);
      v128.store(t, centroids(BITS, 0, even, table));
      v128.store(t, centroids(BITS, 1, even, table), 16);
      const odd = unit(BITS, 1, k0, k0 + b0, k1, k1 + b1, k2, k2 + b2);
      v128.store(t, centroids(BITS, 0, odd, table), 32);
      v128.store(t, centroids(BITS, 1, odd, table), 48);
      t += 64;
      k0 += s0; k1 += s1; k2 += s2;
    }
    to += MAX_DIM * 4;
    r0 += 2 * b0; r1 += 2 * b1; r2 += 2 * b2;
  }
}

/** One or two rows times the unpacked pairs. */
// @ts-ignore: decorator
@inline function weigh(ROWS: i32, d: usize, side: usize, scratch: usize, row: usize, count: usize): void {
  const step = f32x4.splat(quantizeWeights(side, scratch, row, count));
  const step1 = ROWS > 1 ? f32x4.splat(quantizeWeights(side, scratch, row + 1, count)) : step;
  const weights = scratch + S_WEIGHTS + row * MAX_TILE * 2;
  let acc = scratch + S_ACC + row * MAX_DIM * 4;
  let tile = scratch + S_TILE;
  for (let at: usize = 0; at < d; at += 16) {
    let e0 = i32x4.splat(0), e1 = i32x4.splat(0), o0 = i32x4.splat(0), o1 = i32x4.splat(0);
    let f0 = i32x4.splat(0), f1 = i32x4.splat(0), g0 = i32x4.splat(0), g1 = i32x4.splat(0);
    let t = tile;
    for (let w = weights; w < weights + count * 2; w += 4) {
      const w0 = v128.load_splat<u32>(w);
      const a = v128.load(t), b = v128.load(t, 16), c = v128.load(t, 32), e = v128.load(t, 48);
      e0 = i32x4.add(e0, i32x4.dot_i16x8_s(w0, a));
      e1 = i32x4.add(e1, i32x4.dot_i16x8_s(w0, b));
      o0 = i32x4.add(o0, i32x4.dot_i16x8_s(w0, c));
      o1 = i32x4.add(o1, i32x4.dot_i16x8_s(w0, e));
      if (ROWS > 1) {
        const w1 = v128.load_splat<u32>(w, MAX_TILE * 2);
        f0 = i32x4.add(f0, i32x4.dot_i16x8_s(w1, a));
        f1 = i32x4.add(f1, i32x4.dot_i16x8_s(w1, b));
        g0 = i32x4.add(g0, i32x4.dot_i16x8_s(w1, c));
        g1 = i32x4.add(g1, i32x4.dot_i16x8_s(w1, e));
      }
      t += MAX_DIM * 4;
    }
    flush(acc, e0, o0, step);
    flush(acc + 32, e1, o1, step);
    if (ROWS > 1) {
      flush(acc + MAX_DIM * 4, f0, g0, step1);
      flush(acc + MAX_DIM * 4 + 32, f1, g1, step1);
    }
    acc += 64;
    tile += 64;
  }
}

// @ts-ignore: decorator
@inline function valueCodesOf(BITS: i32, p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void {
  if (rows == 1) valueFused(BITS, 1, p, side, scratch, page, head, from, count);
  else if (rows == 2) valueFused(BITS, 2, p, side, scratch, page, head, from, count);
  else {
    unpackValues(BITS, p, side, scratch, page, head, from, count);
    weighRows(load<u32>(p, HEAD_DIM), side, scratch, count, rows);
  }
}

function weighRows(d: usize, side: usize, scratch: usize, count: usize, rows: usize): void {
  let row: usize = 0;
  for (; row + 1 < rows; row += 2) weigh(2, d, side, scratch, row, count);
  if (row < rows) weigh(1, d, side, scratch, row, count);
}

function value1(p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void { valueCodesOf(1, p, side, scratch, page, head, from, count, rows); }
function value2(p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void { valueCodesOf(2, p, side, scratch, page, head, from, count, rows); }
function value3(p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void { valueCodesOf(3, p, side, scratch, page, head, from, count, rows); }
function value4(p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void { valueCodesOf(4, p, side, scratch, page, head, from, count, rows); }
function value5(p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void { valueCodesOf(5, p, side, scratch, page, head, from, count, rows); }
function value6(p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void { valueCodesOf(6, p, side, scratch, page, head, from, count, rows); }
function value7(p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void { valueCodesOf(7, p, side, scratch, page, head, from, count, rows); }
function value8(p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void { valueCodesOf(8, p, side, scratch, page, head, from, count, rows); }

/** Adds Σ weight · scale · centroid of tqN values; S_SCALES holds the values' scales. */
export function valueCodes(bits: i32, p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void {
  switch (bits) {
    case 1: value1(p, side, scratch, page, head, from, count, rows); break;
    case 2: value2(p, side, scratch, page, head, from, count, rows); break;
    case 3: value3(p, side, scratch, page, head, from, count, rows); break;
    case 4: value4(p, side, scratch, page, head, from, count, rows); break;
    case 5: value5(p, side, scratch, page, head, from, count, rows); break;
    case 6: value6(p, side, scratch, page, head, from, count, rows); break;
    case 7: value7(p, side, scratch, page, head, from, count, rows); break;
    default: value8(p, side, scratch, page, head, from, count, rows);
  }
}

/** Adds an accumulator of f16 products to the output. */
// @ts-ignore: decorator
@inline function addBiased(to: usize, sum: v128): void {
  v128.store(to, f32x4.add(v128.load(to), f32x4.mul(sum, f32x4.splat(HALF_BIAS))));
}

/** One or two rows straight from f16 values, WIDTH (8 or 16) columns at a time. */
// @ts-ignore: decorator
@inline function valueHalfColumns(ROWS: i32, WIDTH: i32, d: usize, at: usize, source: usize, scratch: usize, count: usize): void {
  const weights = scratch + S_SCORES;
  const acc = scratch + S_ACC + at * 4;
  let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), c2 = f32x4.splat(0), c3 = f32x4.splat(0);
  let v = source + at * 2;
  for (let w = weights; w < weights + count * 4; w += 4) {
    const w0 = v128.load_splat<u32>(w);
    const w1 = ROWS > 1 ? v128.load_splat<u32>(w, MAX_TILE * 4) : w0;
    let h = v128.load(v);
    let x = halfLow(h), y = halfHigh(h);
    a0 = madd(w0, x, a0);
    a1 = madd(w0, y, a1);
    if (ROWS > 1) {
      c0 = madd(w1, x, c0);
      c1 = madd(w1, y, c1);
    }
    if (WIDTH > 8) {
      h = v128.load(v, 16);
      x = halfLow(h);
      y = halfHigh(h);
      a2 = madd(w0, x, a2);
      a3 = madd(w0, y, a3);
      if (ROWS > 1) {
        c2 = madd(w1, x, c2);
        c3 = madd(w1, y, c3);
      }
    }
    v += d * 2;
  }
  addBiased(acc, a0);
  addBiased(acc + 16, a1);
  if (WIDTH > 8) {
    addBiased(acc + 32, a2);
    addBiased(acc + 48, a3);
  }
  if (ROWS > 1) {
    addBiased(acc + MAX_DIM * 4, c0);
    addBiased(acc + MAX_DIM * 4 + 16, c1);
    if (WIDTH > 8) {
      addBiased(acc + MAX_DIM * 4 + 32, c2);
      addBiased(acc + MAX_DIM * 4 + 48, c3);
    }
  }
}

// @ts-ignore: decorator
@inline function valueHalf(ROWS: i32, d: usize, source: usize, scratch: usize, count: usize): void {
  let at: usize = 0;
  for (; at + 16 <= d; at += 16) valueHalfColumns(ROWS, 16, d, at, source, scratch, count);
  if (at < d) valueHalfColumns(ROWS, 8, d, at, source, scratch, count);
}

/** One or two rows times the f32 tile. */
// @ts-ignore: decorator
@inline function weighFloats(ROWS: i32, d: usize, scratch: usize, row: usize, count: usize): void {
  const weights = scratch + S_SCORES + row * MAX_TILE * 4;
  for (let at: usize = 0; at < d; at += 8) {
    const acc = scratch + S_ACC + row * MAX_DIM * 4 + at * 4;
    let a0 = v128.load(acc), a1 = v128.load(acc, 16);
    let c0 = f32x4.splat(0), c1 = f32x4.splat(0);
    if (ROWS > 1) { c0 = v128.load(acc, MAX_DIM * 4); c1 = v128.load(acc, MAX_DIM * 4 + 16); }
    let t = scratch + S_TILE + at * 4;
    for (let w = weights; w < weights + count * 4; w += 4) {
      const x = v128.load(t), y = v128.load(t, 16);
      const w0 = v128.load_splat<u32>(w);
      a0 = madd(w0, x, a0);
      a1 = madd(w0, y, a1);
      if (ROWS > 1) {
        const w1 = v128.load_splat<u32>(w, MAX_TILE * 4);
        c0 = madd(w1, x, c0);
        c1 = madd(w1, y, c1);
      }
      t += MAX_DIM * 4;
    }
    v128.store(acc, a0); v128.store(acc, a1, 16);
    if (ROWS > 1) { v128.store(acc, c0, MAX_DIM * 4); v128.store(acc, c1, MAX_DIM * 4 + 16); }
  }
}

/** Adds Σ weight · value of float values (f16, f32, q8_0, q4_0r). */
export function valueFloats(type: i32, p: usize, side: usize, scratch: usize, page: usize, tokens: usize, plane: usize, head: usize, from: usize, count: usize, rows: usize): void {
  const d = <usize>load<u32>(p, HEAD_DIM);
  if (type == TYPE_F16 && rows <= 2) {
    const source = page + plane + (head * tokens + from) * d * 2;
    if (rows == 1) valueHalf(1, d, source, scratch, count);
    else valueHalf(2, d, source, scratch, count);
    return;
  }
  unpackFloatSide(type, p, side, scratch, page, tokens, plane, head, from, count);
  let row: usize = 0;
  for (; row + 1 < rows; row += 2) weighFloats(2, d, scratch, row, count);
  if (row < rows) weighFloats(1, d, scratch, row, count);
}
