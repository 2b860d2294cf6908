/**
 * @file Packed codes to int16 centroids.
 *
 * A unit is 16 coordinates of one row. `unit` takes two units at once — two rows for V, two halves of 32 coordinates of
 * the same row for K — and yields byte vectors of the even and of the odd coordinates, the two units alternating:
 * even = [a0 b0 a2 b2 … a14 b14], odd = [a1 b1 … a15 b15]. Widths are compile-time constants and leave no branch behind.
 */
import { lookup, zipHigh, zipLow } from "../simd/vector";

/** Offsets in a table block (written by src/backends/wasm/codebook-table.ts). */
export const TABLE_LOW: usize = 0; // low bytes of 16 centroids (or of segment bases)
export const TABLE_HIGH: usize = 16; // high bytes
export const TABLE_LOW_1: usize = 32; // 5 bits: centroids of odd codes
export const TABLE_HIGH_1: usize = 48;
export const TABLE_SLOPE: usize = 32; // 6–8 bits: u8 slope, i8 coefficients of the even and the odd bend of each segment
export const TABLE_EVEN: usize = 48;
export const TABLE_ODD: usize = 64;
export const TABLE_BEND_EVEN: usize = 96; // i8 values of the bends for each low part
export const TABLE_BEND_ODD: usize = 112;
export const TABLE_SHIFT: usize = 128; // i32: right shift of the bends

/** Bytes of one unit in the plane of the given width. */
// @ts-ignore: decorator
@inline function unitBytes(width: i32): usize {
  return <usize>(width * 2);
}

/** Two 4-bit units: nibbles, low = even. */
// @ts-ignore: decorator
@inline function zip4(a: usize, b: usize): v128 {
  return zipLow(v128.load_zero<u64>(a), v128.load_zero<u64>(b));
}

// @ts-ignore: decorator
@inline function zip2(a: usize, b: usize): v128 {
  return v128.shuffle<u8>(
    v128.load_zero<u32>(a),
    v128.load_zero<u32>(b),
    0, 16, 0, 16, 1, 17, 1, 17, 2, 18, 2, 18, 3, 19, 3, 19,
  );
}

// @ts-ignore: decorator
@inline function zip1(a: usize, b: usize): v128 {
  return v128.shuffle<u8>(
    v128.load_splat<u16>(a),
    v128.load_splat<u16>(b),
    0, 16, 0, 16, 0, 16, 0, 16, 1, 17, 1, 17, 1, 17, 1, 17,
  );
}

/** Even coordinates of a zipped 2-bit vector. */
// @ts-ignore: decorator
@inline function even2(r: v128): v128 {
  const m = i8x16(3, 3, 0, 0, 3, 3, 0, 0, 3, 3, 0, 0, 3, 3, 0, 0);
  const n = i8x16(0, 0, 3, 3, 0, 0, 3, 3, 0, 0, 3, 3, 0, 0, 3, 3);
  return v128.or(v128.and(r, m), v128.and(i16x8.shr_u(r, 4), n));
}

// @ts-ignore: decorator
@inline function odd2(r: v128): v128 {
  const m = i8x16(3, 3, 0, 0, 3, 3, 0, 0, 3, 3, 0, 0, 3, 3, 0, 0);
  const n = i8x16(0, 0, 3, 3, 0, 0, 3, 3, 0, 0, 3, 3, 0, 0, 3, 3);
  return v128.or(v128.and(i16x8.shr_u(r, 2), m), v128.and(i16x8.shr_u(r, 6), n));
}

/** −1 where the bit of an even coordinate is set. */
// @ts-ignore: decorator
@inline function even1(r: v128): v128 {
  const m = i8x16(1, 1, 4, 4, 16, 16, 64, 64, 1, 1, 4, 4, 16, 16, 64, 64);
  return i8x16.eq(v128.and(r, m), m);
}

// @ts-ignore: decorator
@inline function odd1(r: v128): v128 {
  const m = i8x16(2, 2, 8, 8, 32, 32, -128, -128, 2, 2, 8, 8, 32, 32, -128, -128);
  return i8x16.eq(v128.and(r, m), m);
}

/**
 * Codes of the even (parity 0) or odd (parity 1) coordinates of two units.
 * a0, b0: first plane of the units' rows at this unit; a1, b1: second plane; a2, b2: third.
 */
// @ts-ignore: decorator
@inline export function unit(
  BITS: i32, PARITY: i32,
  a0: usize, b0: usize, a1: usize, b1: usize, a2: usize, b2: usize,
): v128 {
  if (BITS == 8) {
    const a = v128.load(a0);
    const b = v128.load(b0);
    if (PARITY == 0) return v128.shuffle<u8>(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);
    return v128.shuffle<u8>(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
  }
  if (BITS == 1) {
    const r = zip1(a0, b0);
    return v128.and(PARITY == 0 ? even1(r) : odd1(r), i8x16.splat(1));
  }
  if (BITS == 2) {
    const r = zip2(a0, b0);
    return PARITY == 0 ? even2(r) : odd2(r);
  }
  if (BITS == 3) {
    const r = zip2(a0, b0);
    const s = zip1(a1, b1);
    const high = PARITY == 0 ? even2(r) : odd2(r);
    return i8x16.sub(i8x16.add(high, high), PARITY == 0 ? even1(s) : odd1(s));
  }
  const r = zip4(a0, b0);
  const high = PARITY == 0 ? v128.and(r, i8x16.splat(15)) : v128.and(i16x8.shr_u(r, 4), i8x16.splat(15));
  if (BITS == 4) return high;
  if (BITS == 5) {
    const s = zip1(a1, b1);
    return i8x16.sub(i8x16.add(high, high), PARITY == 0 ? even1(s) : odd1(s));
  }
  const q = zip2(a1, b1);
  const middle = PARITY == 0 ? even2(q) : odd2(q);
  const six = v128.or(i16x8.shl(high, 2), middle);
  if (BITS == 6) return six;
  const s = zip1(a2, b2);
  return i8x16.sub(i8x16.add(six, six), PARITY == 0 ? even1(s) : odd1(s));
}

/** int16 centroids of bytes 0–7 (HALF 0) or 8–15 (HALF 1) of a code vector. */
// @ts-ignore: decorator
@inline export function centroids(BITS: i32, HALF: i32, codes: v128, table: usize): v128 {
  if (BITS <= 4) {
    const low = lookup(v128.load(table, TABLE_LOW), codes);
    const high = lookup(v128.load(table, TABLE_HIGH), codes);
    return HALF == 0 ? zipLow(low, high) : zipHigh(low, high);
  }
  const segment = v128.and(i16x8.shr_u(codes, BITS - 4), i8x16.splat(15));
  if (BITS == 5) {
    const odd = i8x16.eq(v128.and(codes, i8x16.splat(1)), i8x16.splat(1));
    const low = v128.bitselect(lookup(v128.load(table, TABLE_LOW_1), segment), lookup(v128.load(table, TABLE_LOW), segment), odd);
    const high = v128.bitselect(lookup(v128.load(table, TABLE_HIGH_1), segment), lookup(v128.load(table, TABLE_HIGH), segment), odd);
    return HALF == 0 ? zipLow(low, high) : zipHigh(low, high);
  }
  // base + slope·l + (a·even[l] + b·odd[l] >> shift): the codebook is smooth, so 4 to 16 levels are a line and two bends.
  const rest = v128.and(codes, i8x16.splat(BITS == 6 ? 3 : BITS == 7 ? 7 : 15));
  const low = lookup(v128.load(table, TABLE_LOW), segment);
  const high = lookup(v128.load(table, TABLE_HIGH), segment);
  const slope = lookup(v128.load(table, TABLE_SLOPE), segment);
  const a = lookup(v128.load(table, TABLE_EVEN), segment);
  const even = lookup(v128.load(table, TABLE_BEND_EVEN), rest);
  const shift = load<i32>(table, TABLE_SHIFT);
  let line: v128, bend: v128, base: v128;
  if (HALF == 0) {
    line = i16x8.extmul_low_i8x16_u(slope, rest);
    bend = i16x8.extmul_low_i8x16_s(a, even);
    base = zipLow(low, high);
  } else {
    line = i16x8.extmul_high_i8x16_u(slope, rest);
    bend = i16x8.extmul_high_i8x16_s(a, even);
    base = zipHigh(low, high);
  }
  if (BITS > 6) {
    const b = lookup(v128.load(table, TABLE_ODD), segment);
    const odd = lookup(v128.load(table, TABLE_BEND_ODD), rest);
    bend = i16x8.add(bend, HALF == 0 ? i16x8.extmul_low_i8x16_s(b, odd) : i16x8.extmul_high_i8x16_s(b, odd));
  }
  return i16x8.add(i16x8.add(base, line), i16x8.shr_s(bend, shift));
}

/** Bytes from one unit to the next in plane 0, 1 or 2 of a width. */
// @ts-ignore: decorator
@inline export function unitStep(BITS: i32, PLANE: i32): usize {
  if (PLANE == 0) return unitBytes(BITS == 8 ? 8 : BITS >= 4 ? 4 : BITS >= 2 ? 2 : 1);
  if (PLANE == 1) return unitBytes(BITS == 3 || BITS == 5 ? 1 : 2);
  return unitBytes(1);
}
