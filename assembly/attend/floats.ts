/**
 * @file Scores and weighted sums of f16, f32 and KIVI, and weighted sums of q8_0 and q4_0r values for more than two rows. A tile
 * is unpacked to f32 once for all rows, except that f16 is read directly from the page for one or two rows.
 *
 * f16 is read by moving its bits into place, which leaves a factor of 2⁻¹¹² (`halfLow`). Queries, and the weights of f16
 * values, are multiplied by 2⁵⁶, so that products stay far from the subnormal range, where processors are slow. Scores and
 * weighted sums of f16 are then multiplied by the remaining 2⁵⁶; scores of other types are divided by that of the queries.
 */
import { halfHigh, halfLow, loadHalf, madd, transposeSumF32 } from "../simd/vector";
import {
  DIM, MAX_DIM, MAX_TILE, PLANE_0, SCALES, S_ACC, S_AT_HAND, S_QUERY, S_SCORES, S_SUMS, S_TILE, S_TOUCHED, TILE_AHEAD, TILE_AHEAD_STEP, TILE_COUNT,
  TILE_FIRST, TILE_HEAD, TILE_PAGE, TILE_PLANE, TILE_ROWS, TILE_TOKENS, TYPE_F16, TYPE_F32, TYPE_KIVI, TYPE_Q8_0,
} from "./params";

/** 2⁵⁶, the factor that the queries in S_QUERY contain: the root of what f16 lacks. */
export const QUERY_GAIN: f32 = 72057594037927936.0;

/** Address of the tile's first row in a plane. plane: offset of the plane in the page · bytes: of a row in the plane */
// @ts-ignore: decorator
@inline function rowAddress(tile: usize, plane: usize, bytes: usize): usize {
  return <usize>load<u32>(tile, TILE_PAGE) + plane + <usize>load<u32>(tile, TILE_FIRST) * bytes;
}

/** Bytes of a row of the f32 tile, which is a multiple of 16 coordinates long. */
// @ts-ignore: decorator
@inline function tileStride(d: usize): usize {
  return ((d + 15) & ~15) * 4;
}

/** Scores of one or two rows directly from the f16 keys, two keys at a time. The values are touched ahead, as in key-codes.ts. */
// @ts-ignore: decorator
@inline function scoreHalves(ROWS: i32, d: usize, source: usize, scratch: usize, count: usize): void {
  const step = (<usize>load<u32>(scratch + S_AT_HAND, TILE_AHEAD_STEP) * 16) / d;
  let ahead = <usize>load<u32>(scratch + S_AT_HAND, TILE_AHEAD);
  let touched: u32 = 0;
  const query = scratch + S_QUERY;
  let sums = scratch + S_SUMS;
  const bytes = d * 2;
  for (let key: usize = 0; key < count; key += 2) {
    let a = f32x4.splat(0), b = f32x4.splat(0), a1 = f32x4.splat(0), b1 = f32x4.splat(0);
    for (let q = query; q < query + d * 4; q += 32) {
      const h = v128.load(source), g = v128.load(source + bytes);
      touched |= load<u8>(ahead);
      ahead += step;
      const x = halfLow(h), y = halfHigh(h), z = halfLow(g), u = halfHigh(g);
      a = madd(v128.load(q, 16), y, madd(v128.load(q), x, a));
      b = madd(v128.load(q, 16), u, madd(v128.load(q), z, b));
      if (ROWS > 1) {
        a1 = madd(v128.load(q, MAX_DIM * 4 + 16), y, madd(v128.load(q, MAX_DIM * 4), x, a1));
        b1 = madd(v128.load(q, MAX_DIM * 4 + 16), u, madd(v128.load(q, MAX_DIM * 4), z, b1));
      }
      source += 16;
    }
    source += bytes;
    v128.store(sums, a);
    v128.store(sums, b, 16);
    if (ROWS > 1) {
      v128.store(sums, a1, MAX_TILE * 16);
      v128.store(sums, b1, MAX_TILE * 16 + 16);
    }
    sums += 32;
  }
  store<u32>(scratch + S_TOUCHED, touched);
  const gain = f32x4.splat(QUERY_GAIN);
  for (let row: usize = 0; row < <usize>ROWS; row++) {
    let from = scratch + S_SUMS + row * MAX_TILE * 16;
    let to = scratch + S_SCORES + row * MAX_TILE * 4;
    for (let key: usize = 0; key < count; key += 4) {
      v128.store(to, f32x4.mul(transposeSumF32(v128.load(from), v128.load(from, 16), v128.load(from, 32), v128.load(from, 48)), gain));
      from += 64; to += 16;
    }
  }
}

/**
 * Scores of one or two rows with the keys of the f32 tile, four keys at a time. ADD: 1 to add to the scores, 0 to replace them · at:
 * coordinate of the queries that is multiplied by the first one of the keys
 */
// @ts-ignore: decorator
@inline function dotRows(ROWS: i32, ADD: i32, d: usize, at: usize, scratch: usize, row: usize, count: usize, gain: v128): void {
  const query = scratch + S_QUERY + (row * MAX_DIM + at) * 4;
  const stride = tileStride(d);
  let to = scratch + S_SCORES + row * MAX_TILE * 4;
  let k0 = scratch + S_TILE;
  for (let key: usize = 0; key < count; key += 4) {
    const k1 = k0 + stride, k2 = k1 + stride, k3 = k2 + stride;
    let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
    let c0 = f32x4.splat(0), c1 = f32x4.splat(0), c2 = f32x4.splat(0), c3 = f32x4.splat(0);
    for (let i: usize = 0; i < d * 4; i += 16) {
      const x = v128.load(query + i), x0 = v128.load(k0 + i), x1 = v128.load(k1 + i), x2 = v128.load(k2 + i), x3 = v128.load(k3 + i);
      a0 = madd(x, x0, a0); a1 = madd(x, x1, a1); a2 = madd(x, x2, a2); a3 = madd(x, x3, a3);
      if (ROWS > 1) {
        const y = v128.load(query + i, MAX_DIM * 4);
        c0 = madd(y, x0, c0); c1 = madd(y, x1, c1); c2 = madd(y, x2, c2); c3 = madd(y, x3, c3);
      }
    }
    let s = f32x4.mul(transposeSumF32(a0, a1, a2, a3), gain);
    if (ADD) s = f32x4.add(s, v128.load(to));
    v128.store(to, s);
    if (ROWS > 1) {
      s = f32x4.mul(transposeSumF32(c0, c1, c2, c3), gain);
      if (ADD) s = f32x4.add(s, v128.load(to, MAX_TILE * 4));
      v128.store(to, s, MAX_TILE * 4);
    }
    k0 = k3 + stride; to += 16;
  }
}

/** Unpacks f16 rows to the f32 tile. The factor 2⁻¹¹² stays in them. */
function unpackHalves(d: usize, source: usize, scratch: usize, count: usize): void {
  const stride = tileStride(d);
  let to = scratch + S_TILE;
  for (let key: usize = 0; key < count; key++) {
    for (let i: usize = 0; i < d; i += 8) {
      const h = v128.load(source + i * 2);
      v128.store(to + i * 4, halfLow(h));
      v128.store(to + i * 4, halfHigh(h), 16);
    }
    to += stride;
    source += d * 2;
  }
}

/** Copies f32 rows to the f32 tile. */
function unpackFloats(d: usize, source: usize, scratch: usize, count: usize): void {
  const stride = tileStride(d);
  for (let key: usize = 0; key < count; key++) memory.copy(scratch + S_TILE + key * stride, source + key * d * 4, d * 4);
}

/** Unpacks rows of q8_0 (code + 128) or q4_0r (code + 8) to the f32 tile, each block of 32 times its f16 scale. */
function unpackBlocks(isEight: bool, d: usize, source: usize, scales: usize, scratch: usize, count: usize): void {
  const stride = tileStride(d);
  let to = scratch + S_TILE;
  for (let key: usize = 0; key < count; key++) {
    let scale = f32x4.splat(0);
    for (let i: usize = 0; i < d; i += 8) {
      if ((i & 31) == 0) {
        scale = f32x4.splat(loadHalf(scales));
        scales += 2;
      }
      let codes: v128;
      if (isEight) codes = i16x8.sub(v128.load_ext<u8>(source), i16x8.splat(128));
      else {
        // Each byte holds two codes. It is spread over 16 bits, so that a shift separates them.
        const spread = i16x8.extend_low_i8x16_u(v128.load_zero<u32>(source));
        const nibbles = v128.or(v128.and(spread, i16x8.splat(0x000f)), v128.and(i16x8.shl(spread, 4), i16x8.splat(0x0f00)));
        codes = i16x8.sub(i16x8.extend_low_i8x16_u(nibbles), i16x8.splat(8));
      }
      v128.store(to + i * 4, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(codes)), scale));
      v128.store(to + i * 4, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(codes)), scale), 16);
      source += isEight ? 8 : 4;
    }
    to += stride;
  }
}

/**
 * Unpacks KIVI rows to the f32 tile. It goes coordinate by coordinate, because KIVI is only a baseline.
 * scales: address of the first row's f16 scales, which its zero points follow · scaleRow: bytes from the scales of a row to those
 * of the next one, 0 for keys · perScale: coordinates that share a scale
 */
function unpackKivi(bits: i32, d: usize, side: usize, page: usize, first: usize, scales: usize, scaleRow: usize, perScale: usize, scratch: usize, count: usize): void {
  const zeros = ((d + perScale - 1) / perScale) * 2;
  let to = scratch + S_TILE;
  for (let row = first; row < first + count; row++) {
    for (let i: usize = 0; i < d; i++) {
      let code: u32 = 0;
      let plane = side + PLANE_0;
      for (let width: u32 = 8; width > 0; width >>= 1) {
        if (!(bits & width)) continue;
        const at: usize = i * width;
        const byte = <u32>load<u8>(page + load<u32>(plane) + row * ((d * width) >> 3) + (at >> 3));
        code = (code << width) | ((byte >> <u32>(at & 7)) & ((1 << width) - 1));
        plane += 4;
      }
      const scale = scales + (i / perScale) * 2;
      store<f32>(to + i * 4, loadHalf(scale + zeros) + <f32>code * loadHalf(scale));
    }
    scales += scaleRow;
    to += tileStride(d);
  }
}

/** Unpacks the keys or values of the tile at hand to f32 in S_TILE, [key][headDim rounded up to 16]. */
function unpackTile(type: i32, isKey: bool, d: usize, side: usize, scratch: usize): void {
  const tile = scratch + S_AT_HAND;
  const plane = <usize>load<u32>(tile, TILE_PLANE), count = <usize>load<u32>(tile, TILE_COUNT);
  if (type == TYPE_F16) unpackHalves(d, rowAddress(tile, plane, d * 2), scratch, count);
  else if (type == TYPE_F32) unpackFloats(d, rowAddress(tile, plane, d * 4), scratch, count);
  else if (type > TYPE_KIVI) {
    const page = <usize>load<u32>(tile, TILE_PAGE), tokens = <usize>load<u32>(tile, TILE_TOKENS), first = <usize>load<u32>(tile, TILE_FIRST);
    // Keys share a scale for each coordinate of a page. Values share one for as many coordinates of a row as a page has tokens.
    const scaleRow = isKey ? 0 : ((d + tokens - 1) / tokens) * 4;
    const scales = page + load<u32>(side, SCALES) + (isKey ? <usize>load<u32>(tile, TILE_HEAD) * d * 4 : first * scaleRow);
    unpackKivi(type - TYPE_KIVI, d, side, page, first, scales, scaleRow, isKey ? 1 : tokens, scratch, count);
  } else {
    const isEight = type == TYPE_Q8_0;
    const codes = rowAddress(tile, plane, isEight ? d : d >> 1);
    const scales = rowAddress(tile, load<u32>(side, SCALES), ((d + 31) >> 5) * 2);
    unpackBlocks(isEight, d, codes, scales, scratch, count);
  }
}

/**
 * Writes the scores of the tile's keys for all rows to S_SCORES, f32 [row][MAX_TILE]. The tile has at most MAX_TILE / 2 keys if
 * there are more than two rows. type: TYPE_F16, TYPE_F32, or TYPE_KIVI plus the width
 */
export function scoreFloats(type: i32, p: usize, side: usize, scratch: usize): void {
  const tile = scratch + S_AT_HAND;
  const d = <usize>load<u32>(side, DIM), count = <usize>load<u32>(tile, TILE_COUNT), rows = <usize>load<u32>(tile, TILE_ROWS);
  if (type == TYPE_F16 && rows <= 2) {
    const source = rowAddress(tile, load<u32>(tile, TILE_PLANE), d * 2);
    if (rows == 1) scoreHalves(1, d, source, scratch, count);
    else scoreHalves(2, d, source, scratch, count);
    return;
  }
  unpackTile(type, true, d, side, scratch);
  const gain = f32x4.splat(type == TYPE_F16 ? QUERY_GAIN : <f32>1 / QUERY_GAIN);
  let row: usize = 0;
  for (; row + 1 < rows; row += 2) dotRows(2, 0, d, 0, scratch, row, count, gain);
  if (row < rows) dotRows(1, 0, d, 0, scratch, row, count, gain);
}

/**
 * Adds to the scores of all rows the products of their queries, from coordinate `at` on, with floats of the tile's keys that lie in a
 * plane of their own. type: TYPE_F16 or TYPE_F32 · d: coordinates of them
 */
export function addFloatScores(type: i32, d: usize, plane: usize, at: usize, scratch: usize): void {
  const tile = scratch + S_AT_HAND;
  const count = <usize>load<u32>(tile, TILE_COUNT), rows = <usize>load<u32>(tile, TILE_ROWS);
  if (type == TYPE_F16) unpackHalves(d, rowAddress(tile, plane, d * 2), scratch, count);
  else unpackFloats(d, rowAddress(tile, plane, d * 4), scratch, count);
  const gain = f32x4.splat(type == TYPE_F16 ? QUERY_GAIN : <f32>1 / QUERY_GAIN);
  let row: usize = 0;
  for (; row + 1 < rows; row += 2) dotRows(2, 1, d, at, scratch, row, count, gain);
  if (row < rows) dotRows(1, 1, d, at, scratch, row, count, gain);
}

// @ts-ignore: decorator
@inline function addTo(acc: usize, offset: usize, sum: v128, gain: v128): void {
  v128.store(acc + offset, f32x4.add(v128.load(acc + offset), f32x4.mul(sum, gain)));
}

/**
 * Adds 16 coordinates of all values, times the weights of one or two rows, to the accumulators. HALVES: 1 to read f16 directly
 * from the page, 0 to read the f32 tile
 */
// @ts-ignore: decorator
@inline function weighColumns(ROWS: i32, HALVES: i32, acc: usize, weights: usize, source: usize, stride: usize, count: usize, gain: v128): void {
  const zero = f32x4.splat(0);
  let a = zero, b = zero, c = zero, e = zero, a1 = zero, b1 = zero, c1 = zero, e1 = zero;
  for (let w = weights; w < weights + count * 4; w += 4) {
    let x: v128, y: v128, z: v128, u: v128;
    if (HALVES) {
      const h = v128.load(source), g = v128.load(source, 16);
      x = halfLow(h); y = halfHigh(h); z = halfLow(g); u = halfHigh(g);
    } else {
      x = v128.load(source); y = v128.load(source, 16); z = v128.load(source, 32); u = v128.load(source, 48);
    }
    const w0 = v128.load_splat<u32>(w);
    a = madd(w0, x, a); b = madd(w0, y, b); c = madd(w0, z, c); e = madd(w0, u, e);
    if (ROWS > 1) {
      const w1 = v128.load_splat<u32>(w, MAX_TILE * 4);
      a1 = madd(w1, x, a1); b1 = madd(w1, y, b1); c1 = madd(w1, z, c1); e1 = madd(w1, u, e1);
    }
    source += stride;
  }
  addTo(acc, 0, a, gain); addTo(acc, 16, b, gain); addTo(acc, 32, c, gain); addTo(acc, 48, e, gain);
  if (ROWS > 1) {
    acc += MAX_DIM * 4;
    addTo(acc, 0, a1, gain); addTo(acc, 16, b1, gain); addTo(acc, 32, c1, gain); addTo(acc, 48, e1, gain);
  }
}

/**
 * Adds Σ weight · value of the tile's values to S_ACC for all rows. type: TYPE_F16, TYPE_F32, TYPE_KIVI plus the width, or, for
 * more than two rows, TYPE_Q8_0 or TYPE_Q4_0
 */
export function weighFloats(type: i32, p: usize, side: usize, scratch: usize): void {
  const tile = scratch + S_AT_HAND;
  const d = <usize>load<u32>(side, DIM), count = <usize>load<u32>(tile, TILE_COUNT), rows = <usize>load<u32>(tile, TILE_ROWS);
  const gain = f32x4.splat(type == TYPE_F16 ? QUERY_GAIN : 1);
  if (type == TYPE_F16) {
    for (let row: usize = 0; row < rows; row++) {
      const weights = scratch + S_SCORES + row * MAX_TILE * 4;
      for (let i: usize = 0; i < count * 4; i += 16) v128.store(weights + i, f32x4.mul(v128.load(weights + i), gain));
    }
  }
  if (type == TYPE_F16 && rows <= 2) {
    const source = rowAddress(tile, load<u32>(tile, TILE_PLANE), d * 2);
    for (let at: usize = 0; at < d; at += 16) {
      const acc = scratch + S_ACC + at * 4;
      if (rows == 1) weighColumns(1, 1, acc, scratch + S_SCORES, source + at * 2, d * 2, count, gain);
      else weighColumns(2, 1, acc, scratch + S_SCORES, source + at * 2, d * 2, count, gain);
    }
    return;
  }
  unpackTile(type, false, d, side, scratch);
  for (let row: usize = 0; row < rows; row += 2) {
    const weights = scratch + S_SCORES + row * MAX_TILE * 4;
    for (let at: usize = 0; at < d; at += 16) {
      const acc = scratch + S_ACC + (row * MAX_DIM + at) * 4;
      if (row + 1 < rows) weighColumns(2, 0, acc, weights, scratch + S_TILE + at * 4, tileStride(d), count, gain);
      else weighColumns(1, 0, acc, weights, scratch + S_TILE + at * 4, tileStride(d), count, gain);
    }
  }
}
