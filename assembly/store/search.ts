/**
 * @file The first half of a quantization: the norm of a vector, u (the vector divided by its norm, times √headDim), and the
 * factor on u whose codes have the best cosine with u.
 *
 * Most of the work is to look up the centroid of every coordinate for every factor. Their signs are those of u, so only
 * magnitudes are needed.
 */
import { zipHigh, zipHigh16, zipHigh32, zipLow, zipLow16, zipLow32 } from "../simd/vector";
import { NUM_FACTORS, TRELLIS } from "../attend/params";
import { dot4, sumLanes } from "./multiply";
import { Q_FACTORS, Q_INVERSES, Q_IS_SMALL, Q_LAST_BIN, Q_RATE, Q_SMALL_BELOW, Q_SMALL_BOUNDARIES, Q_SMALL_CENTROIDS, QUANTIZER, SEARCH, TYPE } from "../generated/append-params";
import {
  binAddresses, binBase, INPUT_BYTES, magnitudes, ROUND, S_ABS, S_COSINES, S_FACTOR, S_INPUT, S_INVERSE, S_NEGATIVE, S_NORM, S_PRODUCTS, S_SQUARES,
} from "./quantize";

/**
 * Computes norm, u and factor of one row and writes them to place `row` of the scratch memory. S_ABS, S_NEGATIVE, S_SQUARES and
 * S_PRODUCTS belong to the row searched last. A side without search gets the factor 1.
 * y: f32 [d], rotated · side: a side of the append parameters · s: scratch memory of the quantizer, 16-byte aligned · row: 0–3
 */
export function searchFactor(y: usize, d: usize, side: usize, s: usize, row: usize): void {
  const table = <usize>load<u32>(side, QUANTIZER);
  const norm = sqrt<f32>(dot4(y, y, d));
  const f = f32x4.splat(norm > 0 ? <f32>Math.sqrt(<f64>d) / norm : 0);
  const input = s + row * INPUT_BYTES;
  store<f32>(s + row * 4, norm, S_NORM);
  for (let i: usize = 0; i < d * 4; i += 16) {
    const u = f32x4.mul(v128.load(y + i), f);
    v128.store(input + i, u, S_INPUT);
    v128.store(s + i, f32x4.abs(u), S_ABS);
    v128.store(s + i, v128.not(f32x4.gt(u, f32x4.splat(0))), S_NEGATIVE);
  }

  if (!load<u32>(side, SEARCH)) {
    if (load<i32>(side, TYPE) != TRELLIS) measure(s, d, 1, table, s);
    store<f32>(s + row * 4, 1, S_FACTOR);
    store<f32>(s + row * 4, 1, S_INVERSE);
    return;
  }
  const isSmall = load<u32>(table, Q_IS_SMALL) != 0 && (d & 15) == 0;
  for (let a: usize = 0; a < NUM_FACTORS; a++) {
    const alpha = load<f32>(table + a * 4, Q_FACTORS);
    if (isSmall) measureSmall(s, d, alpha, table, s + a * 4);
    else measure(s, d, alpha, table, s + a * 4);
  }
  // The best factor is chosen at the end and without branches, because it cannot be predicted.
  for (let a: usize = 0; a < NUM_FACTORS * 4; a += 16) v128.store(s + a, f32x4.div(v128.load(s + a, S_PRODUCTS), f32x4.sqrt(v128.load(s + a, S_SQUARES))), S_COSINES);
  let best: usize = 0, most = load<f32>(s, S_COSINES);
  for (let a: usize = 1; a < NUM_FACTORS; a++) {
    const cosine = load<f32>(s + a * 4, S_COSINES);
    best = select<usize>(a, best, cosine > most);
    most = max<f32>(most, cosine);
  }
  store<f32>(s + row * 4, load<f32>(table + best * 4, Q_FACTORS), S_FACTOR);
  store<f32>(s + row * 4, load<f32>(table + best * 4, Q_INVERSES), S_INVERSE);
  store<f32>(s, load<f32>(s + best * 4, S_SQUARES), S_SQUARES);
  store<f32>(s, load<f32>(s + best * 4, S_PRODUCTS), S_PRODUCTS);
}

/** Computes ‖c‖² and ⟨u, c⟩ for the codes at one factor. alpha: the factor · to: s + 4 · number of the factor */
function measure(s: usize, d: usize, alpha: f32, table: usize, to: usize): void {
  const rate = v128.load_splat<u32>(table, Q_RATE), last = v128.load_splat<u32>(table, Q_LAST_BIN), base = binBase(table);
  const factor = f32x4.splat(alpha);
  let square = f32x4.splat(0), product = square;
  for (let i: usize = 0; i < d * 4; i += 16) {
    const t = magnitudes(s, i, factor);
    const at = binAddresses(t, rate, last, base);
    const r0 = v128.load(i32x4.extract_lane(at, 0)), r1 = v128.load(i32x4.extract_lane(at, 1));
    const r2 = v128.load(i32x4.extract_lane(at, 2)), r3 = v128.load(i32x4.extract_lane(at, 3));
    const low01 = zipLow32(r0, r1), low23 = zipLow32(r2, r3);
    const boundary = v128.shuffle<u64>(low01, low23, 0, 2), below = v128.shuffle<u64>(low01, low23, 1, 3);
    const above = v128.shuffle<u64>(zipHigh32(r0, r1), zipHigh32(r2, r3), 0, 2);
    const c = i32x4.max_s(below, v128.and(above, f32x4.gt(t, boundary)));
    // The signs of u and of its centroid are equal, so products of magnitudes are the products.
    square = f32x4.add(square, f32x4.mul(c, c));
    product = f32x4.add(product, f32x4.mul(v128.load(s + i, S_ABS), c));
  }
  store<f32>(to, sumLanes(square), S_SQUARES);
  store<f32>(to, sumLanes(product), S_PRODUCTS);
}

/** The bin numbers of four magnitudes, i32x4, below 16. */
// @ts-ignore: decorator
@inline function bins(t: v128, rate: v128, last: v128): v128 {
  return v128.and(f32x4.add(f32x4.pmin(last, f32x4.mul(t, rate)), f32x4.splat(ROUND)), i32x4.splat(0xff));
}

/**
 * Does what `measure` does for tables of at most 16 bins, 16 coordinates at a time. One swizzle looks up one byte of the boundary
 * or centroid of all 16 coordinates, and the bytes are then joined. d: multiple of 16
 */
function measureSmall(s: usize, d: usize, alpha: f32, table: usize, to: usize): void {
  const rate = v128.load_splat<u32>(table, Q_RATE), last = v128.load_splat<u32>(table, Q_LAST_BIN);
  const factor = f32x4.splat(alpha);
  let square = f32x4.splat(0), product = square;
  for (let i: usize = 0; i < d * 4; i += 64) {
    const t0 = magnitudes(s, i, factor), t1 = magnitudes(s, i + 16, factor), t2 = magnitudes(s, i + 32, factor), t3 = magnitudes(s, i + 48, factor);
    const low = i16x8.narrow_i32x4_u(bins(t0, rate, last), bins(t1, rate, last));
    const at = i8x16.narrow_i16x8_u(low, i16x8.narrow_i32x4_u(bins(t2, rate, last), bins(t3, rate, last)));
    const b0 = i8x16.swizzle(v128.load(table, Q_SMALL_BOUNDARIES), at), b1 = i8x16.swizzle(v128.load(table, Q_SMALL_BOUNDARIES + 16), at);
    const b2 = i8x16.swizzle(v128.load(table, Q_SMALL_BOUNDARIES + 32), at), b3 = i8x16.swizzle(v128.load(table, Q_SMALL_BOUNDARIES + 48), at);
    const bl = zipLow(b0, b1), bh = zipHigh(b0, b1), bm = zipLow(b2, b3), bn = zipHigh(b2, b3);
    const above01 = i16x8.narrow_i32x4_s(f32x4.gt(t0, zipLow16(bl, bm)), f32x4.gt(t1, zipHigh16(bl, bm)));
    const above23 = i16x8.narrow_i32x4_s(f32x4.gt(t2, zipLow16(bh, bn)), f32x4.gt(t3, zipHigh16(bh, bn)));
    const j = i8x16.sub(i8x16.swizzle(v128.load(table, Q_SMALL_BELOW), at), i8x16.narrow_i16x8_s(above01, above23));
    const c0 = i8x16.swizzle(v128.load(table, Q_SMALL_CENTROIDS), j), c1 = i8x16.swizzle(v128.load(table, Q_SMALL_CENTROIDS + 16), j);
    const c2 = i8x16.swizzle(v128.load(table, Q_SMALL_CENTROIDS + 32), j), c3 = i8x16.swizzle(v128.load(table, Q_SMALL_CENTROIDS + 48), j);
    const cl = zipLow(c0, c1), ch = zipHigh(c0, c1), cm = zipLow(c2, c3), cn = zipHigh(c2, c3);
    let c = zipLow16(cl, cm);
    square = f32x4.add(square, f32x4.mul(c, c));
    product = f32x4.add(product, f32x4.mul(v128.load(s + i, S_ABS), c));
    c = zipHigh16(cl, cm);
    square = f32x4.add(square, f32x4.mul(c, c));
    product = f32x4.add(product, f32x4.mul(v128.load(s + i, S_ABS + 16), c));
    c = zipLow16(ch, cn);
    square = f32x4.add(square, f32x4.mul(c, c));
    product = f32x4.add(product, f32x4.mul(v128.load(s + i, S_ABS + 32), c));
    c = zipHigh16(ch, cn);
    square = f32x4.add(square, f32x4.mul(c, c));
    product = f32x4.add(product, f32x4.mul(v128.load(s + i, S_ABS + 48), c));
  }
  store<f32>(to, sumLanes(square), S_SQUARES);
  store<f32>(to, sumLanes(product), S_PRODUCTS);
}
