/**
 * @file Scores of a tile of packed keys: int16 query rows times int16 centroids. For one or two rows, as in decode, each key is
 * multiplied as soon as it is unpacked; for more rows the tile is unpacked once for all of them.
 */
import { transposeSum } from "../simd/vector";
import { centroids, isHalved } from "./centroids";
import { codes, keyGroup, keyPlane0, keyPlane1, keyPlane2, oddCodes, planeBytes } from "./codes";
import {
  DIM, MAX_DIM, MAX_SKETCH, MAX_TILE, PLANE_0, PLANE_1, PLANE_2, ROW_BYTES, ROW_QBIAS, ROW_QSCALE, ROW_SSCALE, SKETCH_ROWS, SKETCH_SIGNS,
  S_AT_HAND, S_QUERY16, S_ROWS, S_SCALES, S_SCORES, S_SKETCH16, S_SUMS, S_TILE, S_TOUCHED, TABLE, TILE_AHEAD, TILE_AHEAD_STEP, TILE_COUNT,
  TILE_FIRST, TILE_PAGE, TILE_ROWS, TRELLIS,
} from "./params";

/** Adds the dot product of 16 coordinates of a query with their centroids. query: i16 [16] · sum: i32x4 */
// @ts-ignore: decorator
@inline function addDot(sum: v128, query: usize, low: v128, high: v128): v128 {
  return i32x4.add(i32x4.add(sum, i32x4.dot_i16x8_s(v128.load(query), low)), i32x4.dot_i16x8_s(v128.load(query, 16), high));
}

/** Adds the lanes of a row's sums in S_SUMS, multiplies by the step of its query and the keys' scales, and stores the scores. */
// @ts-ignore: decorator
@inline function reduceSums(BITS: i32, row: usize, scratch: usize, count: usize): void {
  const state = scratch + S_ROWS + row * ROW_BYTES;
  const scale = f32x4.splat(load<f32>(state, ROW_QSCALE));
  const bias = i32x4.splat(load<i32>(state, ROW_QBIAS));
  let from = scratch + S_SUMS + row * MAX_TILE * 16;
  let to = scratch + S_SCORES + row * MAX_TILE * 4;
  let keyScale = scratch + S_SCALES;
  for (let key: usize = 0; key < count; key += 4) {
    let sum = transposeSum(v128.load(from), v128.load(from, 16), v128.load(from, 32), v128.load(from, 48));
    if (isHalved(BITS)) sum = i32x4.add(sum, bias);
    v128.store(to, f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(sum), scale), v128.load(keyScale)));
    from += 64; to += 16; keyScale += 16;
  }
}

/**
 * Scores of one or two rows directly from the codes, as in decode.
 *
 * It also reads one byte of each of the tile's values. They are needed right after, a group of coordinates of all keys at a time,
 * and would arrive too late; WASM has no prefetch, but these reads keep the processor's own prefetcher ahead.
 */
// @ts-ignore: decorator
@inline function scoreFused(BITS: i32, ROWS: i32, p: usize, side: usize, scratch: usize): void {
  const tile = scratch + S_AT_HAND;
  const d = <usize>load<u32>(side, DIM), count = <usize>load<u32>(tile, TILE_COUNT);
  const page = <usize>load<u32>(tile, TILE_PAGE), first = <usize>load<u32>(tile, TILE_FIRST), aheadStep = <usize>load<u32>(tile, TILE_AHEAD_STEP);
  let ahead = <usize>load<u32>(tile, TILE_AHEAD);
  const group = keyGroup(BITS);
  const table = <usize>load<u32>(side, TABLE);
  const t0 = v128.load(table), t1 = v128.load(table, 16), t2 = v128.load(table, 32), t3 = v128.load(table, 48);
  const b0 = planeBytes(BITS, 0, d), b1 = planeBytes(BITS, 1, d), b2 = planeBytes(BITS, 2, d);
  let r0 = page + load<u32>(side, PLANE_0) + first * b0;
  let r1 = page + load<u32>(side, PLANE_1) + first * b1;
  let r2 = page + load<u32>(side, PLANE_2) + first * b2;
  const query = scratch + S_QUERY16, queryEnd = query + d * 2;
  const end = scratch + S_SUMS + count * 16;
  let touched: u32 = 0;
  for (let sums = scratch + S_SUMS; sums < end; sums += 16) {
    touched |= load<u8>(ahead);
    ahead += aheadStep;
    let u0 = r0, u1 = r1, u2 = r2;
    let x = i32x4.splat(0), x1 = i32x4.splat(0);
    for (let q = query; q < queryEnd; q += 2 * group) {
      const p0 = keyPlane0(BITS, u0), p1 = keyPlane1(BITS, u1), p2 = keyPlane2(BITS, u2);
      {
        const c = codes(BITS, 0, 0, p0, p1, p2), odd = oddCodes(BITS, 0, 0, p0, p1);
        const low = centroids(BITS, 0, c, odd, t0, t1, t2, t3), high = centroids(BITS, 1, c, odd, t0, t1, t2, t3);
        x = addDot(x, q, low, high);
        if (ROWS > 1) x1 = addDot(x1, q + MAX_DIM * 2, low, high);
      }
      if (group > 16) {
        const c = codes(BITS, 0, 1, p0, p1, p2), odd = oddCodes(BITS, 0, 1, p0, p1);
        const low = centroids(BITS, 0, c, odd, t0, t1, t2, t3), high = centroids(BITS, 1, c, odd, t0, t1, t2, t3);
        x = addDot(x, q + 32, low, high);
        if (ROWS > 1) x1 = addDot(x1, q + MAX_DIM * 2 + 32, low, high);
      }
      if (group > 32) {
        const c = codes(BITS, 0, 2, p0, p1, p2), odd = oddCodes(BITS, 0, 2, p0, p1);
        const low = centroids(BITS, 0, c, odd, t0, t1, t2, t3), high = centroids(BITS, 1, c, odd, t0, t1, t2, t3);
        x = addDot(x, q + 64, low, high);
        if (ROWS > 1) x1 = addDot(x1, q + MAX_DIM * 2 + 64, low, high);
      }
      if (group > 32) {
        const c = codes(BITS, 0, 3, p0, p1, p2), odd = oddCodes(BITS, 0, 3, p0, p1);
        const low = centroids(BITS, 0, c, odd, t0, t1, t2, t3), high = centroids(BITS, 1, c, odd, t0, t1, t2, t3);
        x = addDot(x, q + 96, low, high);
        if (ROWS > 1) x1 = addDot(x1, q + MAX_DIM * 2 + 96, low, high);
      }
      u0 += planeBytes(BITS, 0, group); u1 += planeBytes(BITS, 1, group); u2 += planeBytes(BITS, 2, group);
    }
    v128.store(sums, x);
    if (ROWS > 1) {
      v128.store(sums, x1, MAX_TILE * 16);
    }
    r0 += b0; r1 += b1; r2 += b2;
  }
  store<u32>(scratch + S_TOUCHED, touched);
  reduceSums(BITS, 0, scratch, count);
  if (ROWS > 1) reduceSums(BITS, 1, scratch, count);
}

/** Stores the 16 centroids of vector PART of a group that begins at `to`. */
// @ts-ignore: decorator
@inline function storePart(BITS: i32, PART: i32, to: usize, p0: v128, p1: v128, p2: v128, t0: v128, t1: v128, t2: v128, t3: v128): void {
  const c = codes(BITS, 0, PART, p0, p1, p2), odd = oddCodes(BITS, 0, PART, p0, p1);
  v128.store(to + 32 * PART, centroids(BITS, 0, c, odd, t0, t1, t2, t3));
  v128.store(to + 32 * PART, centroids(BITS, 1, c, odd, t0, t1, t2, t3), 16);
}

/** Bytes of an unpacked key: d rounded up to whole groups, in int16. group: power of two */
// @ts-ignore: decorator
@inline function tileStride(d: usize, group: usize): usize {
  return ((d + group - 1) & ~(group - 1)) * 2;
}

/** Unpacks the centroids of the tile's keys into S_TILE, i16 [key][d rounded up to whole groups], in the order of S_QUERY16. */
// @ts-ignore: decorator
@inline function unpackKeys(BITS: i32, d: usize, plane0: usize, plane1: usize, plane2: usize, table: usize, scratch: usize): void {
  const tile = scratch + S_AT_HAND;
  const page = <usize>load<u32>(tile, TILE_PAGE), first = <usize>load<u32>(tile, TILE_FIRST), count = <usize>load<u32>(tile, TILE_COUNT);
  const group = keyGroup(BITS);
  const t0 = v128.load(table), t1 = v128.load(table, 16), t2 = v128.load(table, 32), t3 = v128.load(table, 48);
  const b0 = planeBytes(BITS, 0, d), b1 = planeBytes(BITS, 1, d), b2 = planeBytes(BITS, 2, d);
  let r0 = page + plane0 + first * b0, r1 = page + plane1 + first * b1, r2 = page + plane2 + first * b2;
  let to = scratch + S_TILE;
  const stride = tileStride(d, group);
  for (let key: usize = 0; key < count; key++) {
    let u0 = r0, u1 = r1, u2 = r2;
    for (let at = to; at < to + stride; at += group * 2) {
      const p0 = keyPlane0(BITS, u0), p1 = keyPlane1(BITS, u1), p2 = keyPlane2(BITS, u2);
      storePart(BITS, 0, at, p0, p1, p2, t0, t1, t2, t3);
      if (group > 16) storePart(BITS, 1, at, p0, p1, p2, t0, t1, t2, t3);
      if (group > 32) {
        storePart(BITS, 2, at, p0, p1, p2, t0, t1, t2, t3);
        storePart(BITS, 3, at, p0, p1, p2, t0, t1, t2, t3);
      }
      u0 += planeBytes(BITS, 0, group); u1 += planeBytes(BITS, 1, group); u2 += planeBytes(BITS, 2, group);
    }
    to += stride;
    r0 += b0; r1 += b1; r2 += b2;
  }
}

/**
 * Scores of one or two int16 query rows with the unpacked keys, four keys at a time. ADD: 1 to add to the scores, 0 to replace
 * them · scaleAt: where the state of a row has the step of its query · bias, bias1: what is added to the integer sums of a row
 */
// @ts-ignore: decorator
@inline function dotRows(ROWS: i32, ADD: i32, stride: usize, query: usize, scratch: usize, row: usize, count: usize, scaleAt: usize, bias: v128, bias1: v128): void {
  const state = scratch + S_ROWS + row * ROW_BYTES;
  const scale = f32x4.splat(load<f32>(state + scaleAt));
  const scale1 = f32x4.splat(load<f32>(state + scaleAt, ROW_BYTES));
  let keyScale = scratch + S_SCALES;
  let to = scratch + S_SCORES + row * MAX_TILE * 4;
  let k0 = scratch + S_TILE;
  for (let key: usize = 0; key < count; key += 4) {
    const k1 = k0 + stride, k2 = k1 + stride, k3 = k2 + stride;
    let a0 = i32x4.splat(0), a1 = i32x4.splat(0), a2 = i32x4.splat(0), a3 = i32x4.splat(0);
    let c0 = i32x4.splat(0), c1 = i32x4.splat(0), c2 = i32x4.splat(0), c3 = i32x4.splat(0);
    for (let i: usize = 0; i < stride; i += 16) {
      const x = v128.load(query + i), x0 = v128.load(k0 + i), x1 = v128.load(k1 + i), x2 = v128.load(k2 + i), x3 = v128.load(k3 + i);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(x, x0));
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(x, x1));
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(x, x2));
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(x, x3));
      if (ROWS > 1) {
        const y = v128.load(query + i, MAX_DIM * 2);
        c0 = i32x4.add(c0, i32x4.dot_i16x8_s(y, x0));
        c1 = i32x4.add(c1, i32x4.dot_i16x8_s(y, x1));
        c2 = i32x4.add(c2, i32x4.dot_i16x8_s(y, x2));
        c3 = i32x4.add(c3, i32x4.dot_i16x8_s(y, x3));
      }
    }
    const ks = v128.load(keyScale);
    const sum = i32x4.add(transposeSum(a0, a1, a2, a3), bias);
    let s = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(sum), scale), ks);
    if (ADD) s = f32x4.add(s, v128.load(to));
    v128.store(to, s);
    if (ROWS > 1) {
      const sum1 = i32x4.add(transposeSum(c0, c1, c2, c3), bias1);
      s = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(sum1), scale1), ks);
      if (ADD) s = f32x4.add(s, v128.load(to, MAX_TILE * 4));
      v128.store(to, s, MAX_TILE * 4);
    }
    k0 = k3 + stride; keyScale += 16; to += 16;
  }
}

function scoreTile(stride: usize, scratch: usize, rows: usize, count: usize): void {
  let row: usize = 0;
  for (; row < rows; row += 2) {
    const query = scratch + S_QUERY16 + row * MAX_DIM * 2;
    const bias = i32x4.splat(load<i32>(scratch + S_ROWS + row * ROW_BYTES, ROW_QBIAS));
    const bias1 = i32x4.splat(load<i32>(scratch + S_ROWS + row * ROW_BYTES, ROW_BYTES + ROW_QBIAS));
    if (row + 1 < rows) dotRows(2, 0, stride, query, scratch, row, count, ROW_QSCALE, bias, bias1);
    else dotRows(1, 0, stride, query, scratch, row, count, ROW_QSCALE, bias, bias1);
  }
}

/**
 * Adds residual norm · ⟨projected query, signs⟩ to the scores of all rows (TurboQuant_prod, arXiv 2504.19874). S_SCALES has to
 * hold the residual norms times the sketch's factor, f32 [key].
 */
export function addSketch(side: usize, scratch: usize): void {
  const tile = scratch + S_AT_HAND;
  const rows = <usize>load<u32>(tile, TILE_ROWS), count = <usize>load<u32>(tile, TILE_COUNT);
  const projections = <usize>load<u32>(side, SKETCH_ROWS);
  unpackKeys(1, projections, load<u32>(side, SKETCH_SIGNS), 0, 0, 0, scratch);
  const stride = tileStride(projections, 64);
  const zero = i64x2.splat(0);
  for (let row: usize = 0; row < rows; row++) {
    dotRows(1, 1, stride, scratch + S_SKETCH16 + row * MAX_SKETCH * 2, scratch, row, count, ROW_SSCALE, zero, zero);
  }
}

// @ts-ignore: decorator
@inline function scoreCodesOf(BITS: i32, p: usize, side: usize, scratch: usize): void {
  const rows = <usize>load<u32>(scratch + S_AT_HAND, TILE_ROWS);
  if (rows == 1) scoreFused(BITS, 1, p, side, scratch);
  else if (rows == 2) scoreFused(BITS, 2, p, side, scratch);
  else {
    const d = <usize>load<u32>(side, DIM);
    unpackKeys(BITS, d, load<u32>(side, PLANE_0), load<u32>(side, PLANE_1), load<u32>(side, PLANE_2), load<u32>(side, TABLE), scratch);
    scoreTile(tileStride(d, keyGroup(BITS)), scratch, rows, load<u32>(scratch + S_AT_HAND, TILE_COUNT));
  }
}

// Each width has a function of its own, so that its inner loops are compiled without the branches of the others.
function score1(p: usize, side: usize, scratch: usize): void { scoreCodesOf(1, p, side, scratch); }
function score2(p: usize, side: usize, scratch: usize): void { scoreCodesOf(2, p, side, scratch); }
function score3(p: usize, side: usize, scratch: usize): void { scoreCodesOf(3, p, side, scratch); }
function score4(p: usize, side: usize, scratch: usize): void { scoreCodesOf(4, p, side, scratch); }
function score5(p: usize, side: usize, scratch: usize): void { scoreCodesOf(5, p, side, scratch); }
function score6(p: usize, side: usize, scratch: usize): void { scoreCodesOf(6, p, side, scratch); }
function score7(p: usize, side: usize, scratch: usize): void { scoreCodesOf(7, p, side, scratch); }
function score8(p: usize, side: usize, scratch: usize): void { scoreCodesOf(8, p, side, scratch); }
function scoreTrellis(p: usize, side: usize, scratch: usize): void { scoreCodesOf(TRELLIS, p, side, scratch); }

/**
 * Writes the scores of the tile's keys for all rows to S_SCORES, f32 [row][MAX_TILE]. bits: 1–8 or TRELLIS. S_SCALES has to hold
 * the keys' scales times the codebook's step, f32 [key].
 */
export function scoreCodes(bits: i32, p: usize, side: usize, scratch: usize): void {
  switch (bits) {
    case 1: score1(p, side, scratch); break;
    case 2: score2(p, side, scratch); break;
    case 3: score3(p, side, scratch); break;
    case 4: score4(p, side, scratch); break;
    case 5: score5(p, side, scratch); break;
    case 6: score6(p, side, scratch); break;
    case 7: score7(p, side, scratch); break;
    case TRELLIS: scoreTrellis(p, side, scratch); break;
    default: score8(p, side, scratch);
  }
}
