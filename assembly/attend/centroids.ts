/**
 * @file Turns vectors of 16 codes into int16 centroids. Tables of 16 bytes are looked up by one swizzle; they are made by
 * src/backends/wasm/codebook-table.ts.
 *
 *   1 bit     The centroids are ±1 and need no table.
 *   2–4 bits  Two tables hold the low and the high bytes. A trellis of two bits has 16 values, so it is read in the same way.
 *   5 bits    Even and odd codes have such a pair of tables each. A code's index into the other pair is 255, which looks up 0.
 *   6 bits    Two pairs of tables hold 32 magnitudes, and the sign is applied to what they give.
 *   7, 8 bits A magnitude is base[segment] + slope[segment] · t with 16 segments, and the sign is applied to it. t is the index
 *             of the magnitude, so segments are straight lines. For the last 16 magnitudes, where the codebook bends, a table
 *             moves t. The arithmetic wraps, so a base may be any int16.
 *
 * At 6 bits and more, level x stands for the centroid x + ½. The centroid of opposite sign is then the complement −x − 1, so
 * that negation costs one xor. Callers add half the sum of the other factor (`isHalved`).
 */
import { lookup, zipHigh, zipLow } from "../simd/vector";
import { TRELLIS } from "./params";

/** Whether level x of this width stands for x + ½, so that Σ f·x lacks half the sum of the other factor f. */
// @ts-ignore: decorator
@inline export function isHalved(bits: i32): bool {
  return bits >= 6 && bits <= 8;
}

/** Byte −1 for codes of negative centroids, 0 for the others. */
// @ts-ignore: decorator
@inline function negative(BITS: i32, codes: v128): v128 {
  return BITS == 8 ? i8x16.gt_s(codes, i8x16.splat(-1)) : i8x16.lt_s(codes, i8x16.splat(BITS == 7 ? 64 : 32));
}

/** Int16 centroids of codes 0–7 (HALF 0) or 8–15 (HALF 1). codes, odd: u8x16 from codes.ts · t0–t3: tables of 16 bytes */
// @ts-ignore: decorator
@inline export function centroids(BITS: i32, HALF: i32, codes: v128, odd: v128, t0: v128, t1: v128, t2: v128, t3: v128): v128 {
  if (BITS == 1) {
    const isClear = v128.not(codes);
    const low = v128.or(isClear, i8x16.splat(1));
    return HALF == 0 ? zipLow(low, isClear) : zipHigh(low, isClear);
  }
  if (BITS <= 4 || BITS == TRELLIS) {
    const low = lookup(t0, codes);
    const high = lookup(t1, codes);
    return HALF == 0 ? zipLow(low, high) : zipHigh(low, high);
  }
  if (BITS == 5) {
    const low = v128.or(lookup(t0, codes), lookup(t2, odd));
    const high = v128.or(lookup(t1, codes), lookup(t3, odd));
    return HALF == 0 ? zipLow(low, high) : zipHigh(low, high);
  }
  const minus = negative(BITS, codes);
  const sign = HALF == 0 ? zipLow(minus, minus) : zipHigh(minus, minus);
  const flipped = v128.xor(codes, minus);
  if (BITS == 6) {
    const index = v128.and(flipped, i8x16.splat(31));
    const above = i8x16.sub(index, i8x16.splat(16));
    // `lookup` does not serve here, because indices from 16 on have to give 0.
    const low = v128.or(i8x16.swizzle(t0, index), i8x16.swizzle(t2, above));
    const high = v128.or(i8x16.swizzle(t1, index), i8x16.swizzle(t3, above));
    return v128.xor(HALF == 0 ? zipLow(low, high) : zipHigh(low, high), sign);
  }
  // At 8 bits, bit 7 is set in every flipped code, so t runs from 128.
  const index = BITS == 8 ? flipped : v128.and(flipped, i8x16.splat(63));
  const segment = v128.and(i16x8.shr_u(index, BITS == 8 ? 3 : 2), i8x16.splat(15));
  // Below the last 16 magnitudes the difference wraps to 128 and more, which looks up 0.
  const bend = lookup(t3, i8x16.sub(index, i8x16.splat(BITS == 8 ? <i8>240 : 48)));
  const t = i8x16.add(index, bend);
  const low = lookup(t0, segment);
  const high = lookup(t1, segment);
  const slope = lookup(t2, segment);
  const zero = i64x2.splat(0);
  const base = HALF == 0 ? zipLow(low, high) : zipHigh(low, high);
  const rise = HALF == 0 ? i16x8.mul(zipLow(slope, zero), zipLow(t, zero)) : i16x8.mul(zipHigh(slope, zero), zipHigh(t, zero));
  return v128.xor(i16x8.add(base, rise), sign);
}
