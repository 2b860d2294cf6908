/** @file Scores of a tile: query rows · keys, from codes or from floats. */
import { halfHigh, halfLow, HALF_BIAS, loadHalf, loadHalves, madd, transposeSum, transposeSumF32 } from "../simd/vector";
import {
  HEAD_DIM, MAX_DIM, MAX_TILE, PADDED, PAGE_TOKENS, PLANE_0, PLANE_1, PLANE_2, ROW_BYTES, ROW_QSCALE, SCALES, S_QUERY, S_QUERY16,
  S_ROWS, S_SCALES, S_SCORES, S_SUMS, S_TILE, TABLE, TYPE_F16, TYPE_F32, TYPE_Q4_0, TYPE_Q8_0,
} from "./params";
import { centroids, unit, unitStep } from "./unpack";

/** Bytes of a row in the first plane of a width. */
// @ts-ignore: decorator
@inline function rowBytes(BITS: i32, PLANE: i32, d: usize): usize {
  return (d >> 4) * unitStep(BITS, PLANE) + ((d & 8) ? unitStep(BITS, PLANE) >> 1 : 0);
}

/** Address of (head, row) in a plane at `offset` of a page. */
// @ts-ignore: decorator
@inline function rowAddress(page: usize, offset: usize, head: usize, row: usize, tokens: usize, bytes: usize): usize {
  return page + offset + (head * tokens + row) * bytes;
}

/** A key's 32 codes in the order of query16. Whole bytes need no separation of even and odd: the query is kept in their order. */
// @ts-ignore: decorator
@inline function keyUnit(BITS: i32, PARITY: i32, a0: usize, b0: usize, a1: usize, b1: usize, a2: usize, b2: usize): v128 {
  if (BITS == 8) return v128.load(PARITY == 0 ? a0 : b0);
  return unit(BITS, PARITY, a0, b0, a1, b1, a2, b2);
}

/** Scores straight from the codes for one or two rows: the decode path, nothing is stored but sums. */
// @ts-ignore: decorator
@inline function scoreFused(BITS: i32, ROWS: i32, p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize): void {
  const d = <usize>load<u32>(p, HEAD_DIM);
  const padded = <usize>load<u32>(p, PADDED);
  const tokens = <usize>load<u32>(p, PAGE_TOKENS);
  const table = <usize>load<u32>(side, TABLE);
  const b0 = rowBytes(BITS, 0, d), b1 = rowBytes(BITS, 1, d), b2 = rowBytes(BITS, 2, d);
  const s0 = unitStep(BITS, 0), s1 = unitStep(BITS, 1), s2 = unitStep(BITS, 2);
  let r0 = rowAddress(page, load<u32>(side, PLANE_0), head, from, tokens, b0);
  let r1 = rowAddress(page, load<u32>(side, PLANE_1), head, from, tokens, b1);
  let r2 = rowAddress(page, load<u32>(side, PLANE_2), head, from, tokens, b2);
  const q = scratch + S_QUERY16;
  const qEnd = q + padded * 2;
  let sums = scratch + S_SUMS;
  for (let key: usize = 0; key < count; key++) {
    let u0 = r0, u1 = r1, u2 = r2;
    let acc = i32x4.splat(0), acc1 = i32x4.splat(0);
    for (let at = q; at < qEnd; at += 64) {
      const even = keyUnit(BITS, 0, u0, u0 + s0, u1, u1 + s1, u2, u2 + s2);
      let c = centroids(BITS, 0, even, table);
      acc = i32x4.add(acc, i32x4.dot_i16x8_s(v128.load(at), c));
      if (ROWS > 1) acc1 = i32x4.add(acc1, i32x4.dot_i16x8_s(v128.load(at, MAX_DIM * 2), c));
      c = centroids(BITS, 1, even, table);
      acc = i32x4.add(acc, i32x4.dot_i16x8_s(v128.load(at, 16), c));
      if (ROWS > 1) acc1 = i32x4.add(acc1, i32x4.dot_i16x8_s(v128.load(at, MAX_DIM * 2 + 16), c));
      const odd = keyUnit(BITS, 1, u0, u0 + s0, u1, u1 + s1, u2, u2 + s2);
      c = centroids(BITS, 0, odd, table);
      acc = i32x4.add(acc, i32x4.dot_i16x8_s(v128.load(at, 32), c));
      if (ROWS > 1) acc1 = i32x4.add(acc1, i32x4.dot_i16x8_s(v128.load(at, MAX_DIM * 2 + 32), c));
      c = centroids(BITS, 1, odd, table);
      acc = i32x4.add(acc, i32x4.dot_i16x8_s(v128.load(at, 48), c));
      if (ROWS > 1) acc1 = i32x4.add(acc1, i32x4.dot_i16x8_s(v128.load(at, MAX_DIM * 2 + 48), c));
      u0 += 2 * s0; u1 += 2 * s1; u2 += 2 * s2;
    }
    v128.store(sums, acc);
    if (ROWS > 1) v128.store(sums, acc1, MAX_TILE * 16);
    sums += 16;
    r0 += b0; r1 += b1; r2 += b2;
  }
  for (let row: usize = 0; row < <usize>ROWS; row++) {
    const scale = f32x4.splat(load<f32>(scratch + S_ROWS + row * ROW_BYTES, ROW_QSCALE));
    let from4 = scratch + S_SUMS + row * MAX_TILE * 16;
    let to = scratch + S_SCORES + row * MAX_TILE * 4;
    let keyScale = scratch + S_SCALES;
    for (let key: usize = 0; key < count; key += 4) {
      const sum = transposeSum(v128.load(from4), v128.load(from4, 16), v128.load(from4, 32), v128.load(from4, 48));
      v128.store(to, f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(sum), scale), v128.load(keyScale)));
      from4 += 64; to += 16; keyScale += 16;
    }
  }
}

/** int16 centroids of a tile into S_TILE, [key][MAX_DIM], in the order of query16. */
// @ts-ignore: decorator
@inline export function unpackKeys(BITS: i32, p: usize, plane0: usize, plane1: usize, plane2: usize, table: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize): void {
  const d = <usize>load<u32>(p, HEAD_DIM);
  const padded = <usize>load<u32>(p, PADDED);
  const tokens = <usize>load<u32>(p, PAGE_TOKENS);
  const b0 = rowBytes(BITS, 0, d), b1 = rowBytes(BITS, 1, d), b2 = rowBytes(BITS, 2, d);
  const s0 = unitStep(BITS, 0), s1 = unitStep(BITS, 1), s2 = unitStep(BITS, 2);
  let r0 = rowAddress(page, plane0, head, from, tokens, b0);
  let r1 = rowAddress(page, plane1, head, from, tokens, b1);
  let r2 = rowAddress(page, plane2, head, from, tokens, b2);
  let to = scratch + S_TILE;
  for (let key: usize = 0; key < count; key++) {
    let u0 = r0, u1 = r1, u2 = r2;
    for (let at = to; at < to + padded * 2; at += 64) {
      const even = keyUnit(BITS, 0, u0, u0 + s0, u1, u1 + s1, u2, u2 + s2);
      v128.store(at, centroids(BITS, 0, even, table));
      v128.store(at, centroids(BITS, 1, even, table), 16);
      const odd = keyUnit(BITS, 1, u0, u0 + s0, u1, u1 + s1, u2, u2 + s2);
      v128.store(at, centroids(BITS, 0, odd, table), 32);
      v128.store(at, centroids(BITS, 1, odd, table), 48);
      u0 += 2 * s0; u1 += 2 * s1; u2 += 2 * s2;
    }
    to += MAX_DIM * 2;
    r0 += b0; r1 += b1; r2 += b2;
  }
}

/** Dot products of `ROWS` int16 rows with four unpacked keys each; added to the scores when ADD. */
// @ts-ignore: decorator
@inline function dotInt16(ROWS: i32, ADD: i32, padded: usize, q: usize, scratch: usize, row: usize, count: usize, scaleAt: usize): void {
  const scale = f32x4.splat(load<f32>(scratch + S_ROWS + row * ROW_BYTES + scaleAt));
  const scale1 = f32x4.splat(load<f32>(scratch + S_ROWS + (row + 1) * ROW_BYTES + scaleAt));
  const query = q + row * MAX_DIM * 2;
  let keyScale = scratch + S_SCALES;
  let to = scratch + S_SCORES + row * MAX_TILE * 4;
  let tile = scratch + S_TILE;
  for (let key: usize = 0; key < count; key += 4) {
    let a0 = i32x4.splat(0), a1 = i32x4.splat(0), a2 = i32x4.splat(0), a3 = i32x4.splat(0);
    let c0 = i32x4.splat(0), c1 = i32x4.splat(0), c2 = i32x4.splat(0), c3 = i32x4.splat(0);
    for (let i: usize = 0; i < padded * 2; i += 16) {
      const k0 = v128.load(tile + i), k1 = v128.load(tile + i, MAX_DIM * 2), k2 = v128.load(tile + i, MAX_DIM * 4), k3 = v128.load(tile + i, MAX_DIM * 6);
      const x = v128.load(query + i);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(x, k0));
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(x, k1));
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(x, k2));
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(x, k3));
      if (ROWS > 1) {
        const y = v128.load(query + i, MAX_DIM * 2);
        c0 = i32x4.add(c0, i32x4.dot_i16x8_s(y, k0));
        c1 = i32x4.add(c1, i32x4.dot_i16x8_s(y, k1));
        c2 = i32x4.add(c2, i32x4.dot_i16x8_s(y, k2));
        c3 = i32x4.add(c3, i32x4.dot_i16x8_s(y, k3));
      }
    }
    const ks = v128.load(keyScale);
    let s = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(transposeSum(a0, a1, a2, a3)), scale), ks);
    if (ADD) s = f32x4.add(s, v128.load(to));
    v128.store(to, s);
    if (ROWS > 1) {
      s = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(transposeSum(c0, c1, c2, c3)), scale1), ks);
      if (ADD) s = f32x4.add(s, v128.load(to, MAX_TILE * 4));
      v128.store(to, s, MAX_TILE * 4);
    }
    tile += MAX_DIM * 8; keyScale += 16; to += 16;
  }
}

/** All rows against the unpacked tile. q: S_QUERY16 or S_SKETCH16 of the scratch */
export function dotRowsInt16(padded: usize, q: usize, scratch: usize, rows: usize, count: usize, add: bool, scaleAt: usize): void {
  let row: usize = 0;
  if (add) {
    for (; row + 1 < rows; row += 2) dotInt16(2, 1, padded, q, scratch, row, count, scaleAt);
    if (row < rows) dotInt16(1, 1, padded, q, scratch, row, count, scaleAt);
  } else {
    for (; row + 1 < rows; row += 2) dotInt16(2, 0, padded, q, scratch, row, count, scaleAt);
    if (row < rows) dotInt16(1, 0, padded, q, scratch, row, count, scaleAt);
  }
}

/** One or two f32 rows against four keys of the f32 tile. */
// @ts-ignore: decorator
@inline function dotFloat(ROWS: i32, padded: usize, scratch: usize, row: usize, count: usize): void {
  const query = scratch + S_QUERY + row * MAX_DIM * 4;
  let to = scratch + S_SCORES + row * MAX_TILE * 4;
  let tile = scratch + S_TILE;
  for (let key: usize = 0; key < count; key += 4) {
    let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
    let c0 = f32x4.splat(0), c1 = f32x4.splat(0), c2 = f32x4.splat(0), c3 = f32x4.splat(0);
    for (let i: usize = 0; i < padded * 4; i += 16) {
      const k0 = v128.load(tile + i), k1 = v128.load(tile + i, MAX_DIM * 4), k2 = v128.load(tile + i, MAX_DIM * 8), k3 = v128.load(tile + i, MAX_DIM * 12);
      const x = v128.load(query + i);
      a0 = madd(x, k0, a0); a1 = madd(x, k1, a1); a2 = madd(x, k2, a2); a3 = madd(x, k3, a3);
      if (ROWS > 1) {
        const y = v128.load(query + i, MAX_DIM * 4);
        c0 = madd(y, k0, c0); c1 = madd(y, k1, c1); c2 = madd(y, k2, c2); c3 = madd(y, k3, c3);
      }
    }
    v128.store(to, transposeSumF32(a0, a1, a2, a3));
    if (ROWS > 1) v128.store(to, transposeSumF32(c0, c1, c2, c3), MAX_TILE * 4);
    tile += MAX_DIM * 16; to += 16;
  }
}

/** One or two rows straight from f16 keys, two keys at a time: the last one may be read twice. */
// @ts-ignore: decorator
@inline function scoreHalf(ROWS: i32, d: usize, source: usize, scratch: usize, count: usize): void {
  const query = scratch + S_QUERY;
  let sums = scratch + S_SUMS;
  for (let key: usize = 0; key < count; key += 2) {
    const next = key + 1 < count ? source + d * 2 : source;
    let a0 = f32x4.splat(0), a1 = f32x4.splat(0), c0 = f32x4.splat(0), c1 = f32x4.splat(0);
    for (let i: usize = 0; i < d; i += 8) {
      const h = v128.load(source + i * 2), g = v128.load(next + i * 2);
      const x = halfLow(h), y = halfHigh(h), z = halfLow(g), w = halfHigh(g);
      let q = v128.load(query + i * 4);
      a0 = madd(q, x, a0);
      a1 = madd(q, z, a1);
      q = v128.load(query + i * 4, 16);
      a0 = madd(q, y, a0);
      a1 = madd(q, w, a1);
      if (ROWS > 1) {
        q = v128.load(query + i * 4, MAX_DIM * 4);
        c0 = madd(q, x, c0);
        c1 = madd(q, z, c1);
        q = v128.load(query + i * 4, MAX_DIM * 4 + 16);
        c0 = madd(q, y, c0);
        c1 = madd(q, w, c1);
      }
    }
    v128.store(sums, a0);
    v128.store(sums, a1, 16);
    if (ROWS > 1) {
      v128.store(sums, c0, MAX_TILE * 16);
      v128.store(sums, c1, MAX_TILE * 16 + 16);
    }
    sums += 32;
    source += d * 4;
  }
  for (let row: usize = 0; row < <usize>ROWS; row++) {
    let from4 = scratch + S_SUMS + row * MAX_TILE * 16;
    let to = scratch + S_SCORES + row * MAX_TILE * 4;
    for (let key: usize = 0; key < count; key += 4) {
      const sum = transposeSumF32(v128.load(from4), v128.load(from4, 16), v128.load(from4, 32), v128.load(from4, 48));
      v128.store(to, f32x4.mul(sum, f32x4.splat(HALF_BIAS)));
      from4 += 64; to += 16;
    }
  }
}

/** f16 rows to the f32 tile, zero beyond headDim. */
export function unpackHalves(d: usize, padded: usize, source: usize, scratch: usize, count: usize): void {
  let to = scratch + S_TILE;
  for (let key: usize = 0; key < count; key++) {
    for (let i: usize = 0; i < d; i += 4) v128.store(to + i * 4, loadHalves(source + i * 2));
    for (let i = d; i < padded; i += 4) v128.store(to + i * 4, f32x4.splat(0));
    to += MAX_DIM * 4;
    source += d * 2;
  }
}

/** f32 rows to the f32 tile. */
export function unpackFloats(d: usize, padded: usize, source: usize, scratch: usize, count: usize): void {
  let to = scratch + S_TILE;
  for (let key: usize = 0; key < count; key++) {
    memory.copy(to, source, d * 4);
    for (let i = d; i < padded; i += 4) v128.store(to + i * 4, f32x4.splat(0));
    to += MAX_DIM * 4;
    source += d * 4;
  }
}

/** q8_0 (codes + 128) or q4_0r (codes + 8) rows to the f32 tile, each block of 32 times its f16 scale. */
export function unpackBlocks(isEight: bool, d: usize, padded: usize, codes: usize, scales: usize, scratch: usize, count: usize): void {
  let to = scratch + S_TILE;
  const blocks = (d + 31) >> 5;
  for (let key: usize = 0; key < count; key++) {
    for (let i: usize = 0; i < d; i++) {
      const code = isEight
        ? <i32>load<u8>(codes + i) - 128
        : <i32>((<u32>load<u8>(codes + (i >> 1)) >> (<u32>(i & 1) * 4)) & 15) - 8;
      store<f32>(to + i * 4, <f32>code * loadHalf(scales + (i >> 5) * 2));
    }
    for (let i = d; i < padded; i += 4) v128.store(to + i * 4, f32x4.splat(0));
    to += MAX_DIM * 4;
    codes += isEight ? d : d >> 1;
    scales += blocks * 2;
  }
}

/** Floats of any type into the tile. */
export function unpackFloatSide(type: i32, p: usize, side: usize, scratch: usize, page: usize, tokens: usize, plane: usize, head: usize, from: usize, count: usize): void {
  const d = <usize>load<u32>(p, HEAD_DIM);
  const padded = <usize>load<u32>(p, PADDED);
  if (type == TYPE_F16) unpackHalves(d, padded, rowAddress(page, plane, head, from, tokens, d * 2), scratch, count);
  else if (type == TYPE_F32) unpackFloats(d, padded, rowAddress(page, plane, head, from, tokens, d * 4), scratch, count);
  else {
    const isEight = type == TYPE_Q8_0;
    const codes = rowAddress(page, plane, head, from, tokens, isEight ? d : d >> 1);
    const scales = rowAddress(page, load<u32>(side, SCALES), head, from, tokens, ((d + 31) >> 5) * 2);
    unpackBlocks(isEight, d, padded, codes, scales, scratch, count);
  }
}

/** Scores of float keys (f16, f32, q8_0, q4_0r). */
export function scoreFloats(type: i32, p: usize, side: usize, scratch: usize, page: usize, tokens: usize, plane: usize, head: usize, from: usize, count: usize, rows: usize): void {
  const d = <usize>load<u32>(p, HEAD_DIM);
  if (type == TYPE_F16 && rows <= 2) {
    const source = rowAddress(page, plane, head, from, tokens, d * 2);
    if (rows == 1) scoreHalf(1, d, source, scratch, count);
    else scoreHalf(2, d, source, scratch, count);
    return;
  }
  unpackFloatSide(type, p, side, scratch, page, tokens, plane, head, from, count);
  const padded = <usize>load<u32>(p, PADDED);
  let row: usize = 0;
  for (; row + 1 < rows; row += 2) dotFloat(2, padded, scratch, row, count);
  if (row < rows) dotFloat(1, padded, scratch, row, count);
}

/** f16 scales of the tile's rows times `factor`, as f32, into S_SCALES; a whole number of fours. */
export function loadScales(offset: usize, factor: f32, scratch: usize, page: usize, tokens: usize, head: usize, from: usize, count: usize): void {
  let source = page + offset + (head * tokens + from) * 2;
  const f = f32x4.splat(factor);
  for (let to = scratch + S_SCALES; to < scratch + S_SCALES + count * 4; to += 16) {
    v128.store(to, f32x4.mul(loadHalves(source), f));
    source += 8;
  }
}

// @ts-ignore: decorator
@inline function scoreCodesOf(BITS: i32, p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void {
  if (rows == 1) scoreFused(BITS, 1, p, side, scratch, page, head, from, count);
  else if (rows == 2) scoreFused(BITS, 2, p, side, scratch, page, head, from, count);
  else {
    unpackKeys(BITS, p, load<u32>(side, PLANE_0), load<u32>(side, PLANE_1), load<u32>(side, PLANE_2), load<u32>(side, TABLE), scratch, page, head, from, count);
    dotRowsInt16(load<u32>(p, PADDED), scratch + S_QUERY16, scratch, rows, count, false, ROW_QSCALE);
  }
}

// One function a width, so that each inner loop is compiled on its own.
function score1(p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void { scoreCodesOf(1, p, side, scratch, page, head, from, count, rows); }
function score2(p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void { scoreCodesOf(2, p, side, scratch, page, head, from, count, rows); }
function score3(p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void { scoreCodesOf(3, p, side, scratch, page, head, from, count, rows); }
function score4(p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void { scoreCodesOf(4, p, side, scratch, page, head, from, count, rows); }
function score5(p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void { scoreCodesOf(5, p, side, scratch, page, head, from, count, rows); }
function score6(p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void { scoreCodesOf(6, p, side, scratch, page, head, from, count, rows); }
function score7(p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void { scoreCodesOf(7, p, side, scratch, page, head, from, count, rows); }
function score8(p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void { scoreCodesOf(8, p, side, scratch, page, head, from, count, rows); }

/** Scores of tqN keys; S_SCALES holds the keys' scales. */
export function scoreCodes(bits: i32, p: usize, side: usize, scratch: usize, page: usize, head: usize, from: usize, count: usize, rows: usize): void {
  switch (bits) {
    case 1: score1(p, side, scratch, page, head, from, count, rows); break;
    case 2: score2(p, side, scratch, page, head, from, count, rows); break;
    case 3: score3(p, side, scratch, page, head, from, count, rows); break;
    case 4: score4(p, side, scratch, page, head, from, count, rows); break;
    case 5: score5(p, side, scratch, page, head, from, count, rows); break;
    case 6: score6(p, side, scratch, page, head, from, count, rows); break;
    case 7: score7(p, side, scratch, page, head, from, count, rows); break;
    default: score8(p, side, scratch, page, head, from, count, rows);
  }
}
