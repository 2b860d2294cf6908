/**
 * @file Unpacks the bit planes of codes into vectors of 16 codes, without moving a code further than its byte.
 *
 * The order of coordinates in a vector is the one that costs nothing; queries (for K) and accumulators (for V) follow it:
 *   8 bits    Natural order: a vector holds 16 neighbouring coordinates.
 *   4–7 bits  Even and odd: of 32 coordinates, vector 0 holds the even ones and vector 1 the odd ones.
 *   1–3 bits  Quads: of 64 coordinates, vector k holds 4j + k.
 *   trellis   Quads of four neighbouring bits, which are a code of two bits and, below it, the code before. Chains begin anew
 *             every 32 coordinates, which are eight bytes, so a shift of 64-bit lanes brings 0 where no code comes before.
 *
 * The values of two keys a and b alternate in a vector (a0 b0 a1 b1 …), so that a 16-bit dot product multiplies them by two
 * weights at once. The orders above then span half as many coordinates.
 *
 * BITS, PAIRED and PART are constants where these functions are called, so no branch on them survives compilation. PAIRED is 1
 * for such pairs of values and 0 for keys; PART is the number of a vector in its group.
 */
import { zipHigh, zipLow, zipLow16, zipLow32 } from "../simd/vector";
import { TRELLIS } from "./params";

/** Whether rows of this type are bit planes of codes. */
export function isCodes(type: i32): bool {
  return type <= TRELLIS;
}

/** Whether vectors of this width hold every fourth coordinate (quads). */
// @ts-ignore: decorator
@inline export function isQuads(BITS: i32): bool {
  return BITS < 4 || BITS == TRELLIS;
}

/** Bits of a code that lie in plane PLANE; 0 when the width has no such plane. */
// @ts-ignore: decorator
@inline function width(BITS: i32, PLANE: i32): i32 {
  if (BITS == TRELLIS) return PLANE == 0 ? 2 : 0;
  if (PLANE == 0) return BITS == 8 ? 8 : BITS >= 4 ? 4 : BITS >= 2 ? 2 : 1;
  if (PLANE == 1) return BITS == 3 || BITS == 5 ? 1 : BITS == 6 || BITS == 7 ? 2 : 0;
  return BITS == 7 ? 1 : 0;
}

/** Bytes of n coordinates in plane PLANE. n: multiple of 8 */
// @ts-ignore: decorator
@inline export function planeBytes(BITS: i32, PLANE: i32, n: usize): usize {
  return (n >> 3) * <usize>width(BITS, PLANE);
}

/** Number of coordinates of a key that are unpacked together, into one, two or four vectors. */
// @ts-ignore: decorator
@inline export function keyGroup(BITS: i32): usize {
  return BITS == 8 ? 16 : isQuads(BITS) ? 64 : 32;
}

/** Number of coordinates of a pair of values that are unpacked together. */
// @ts-ignore: decorator
@inline export function valueGroup(BITS: i32): usize {
  return isQuads(BITS) ? 32 : 16;
}

/** The first plane of a group of one key, as `codes` takes it: byte i holds code i of each vector of the group. */
// @ts-ignore: decorator
@inline export function keyPlane0(BITS: i32, at: usize): v128 {
  return BITS == 1 ? bytesTwice(at) : v128.load(at);
}

/** The second plane of a group of one key, 0 where the width has none. */
// @ts-ignore: decorator
@inline export function keyPlane1(BITS: i32, at: usize): v128 {
  if (BITS == 3 || BITS == 6 || BITS == 7) return bytesTwice(at);
  if (BITS == 5) return bytesFourTimes(at);
  return i64x2.splat(0);
}

/** The third plane of a group of one key, which only 7 bits have. */
// @ts-ignore: decorator
@inline export function keyPlane2(BITS: i32, at: usize): v128 {
  return BITS == 7 ? bytesFourTimes(at) : i64x2.splat(0);
}

/** The first plane of a group of the values at a and b. At 8 bits it has coordinates 0–7 of the group. */
// @ts-ignore: decorator
@inline export function valuePlane0(BITS: i32, a: usize, b: usize): v128 {
  if (BITS == 8) return zipLow(v128.load_zero<u64>(a), v128.load_zero<u64>(b));
  if (BITS == 1) return pairTwice(a, b);
  return zipLow(v128.load_zero<u64>(a), v128.load_zero<u64>(b));
}

/**
 * The second plane of a group of two values. At 8 bits it has coordinates 8–15; for a trellis it is the first plane moved up by
 * one code. Both are read at the addresses a0 and b0 of the first plane.
 */
// @ts-ignore: decorator
@inline export function valuePlane1(BITS: i32, a: usize, b: usize, a0: usize, b0: usize): v128 {
  if (BITS == 8) return zipLow(v128.load_zero<u64>(a0, 8), v128.load_zero<u64>(b0, 8));
  if (BITS == TRELLIS) return zipLow(i64x2.shl(v128.load_zero<u64>(a0), 2), i64x2.shl(v128.load_zero<u64>(b0), 2));
  if (BITS == 3 || BITS == 6 || BITS == 7) return pairTwice(a, b);
  if (BITS == 5) return pairFourTimes(a, b);
  return i64x2.splat(0);
}

/** The third plane of a group of two values, which only 7 bits have. */
// @ts-ignore: decorator
@inline export function valuePlane2(BITS: i32, a: usize, b: usize): v128 {
  return BITS == 7 ? pairFourTimes(a, b) : i64x2.splat(0);
}

/** Eight bytes, each repeated twice. */
// @ts-ignore: decorator
@inline function bytesTwice(at: usize): v128 {
  const bytes = v128.load_zero<u64>(at);
  return zipLow(bytes, bytes);
}

/** Four bytes, each repeated four times. */
// @ts-ignore: decorator
@inline function bytesFourTimes(at: usize): v128 {
  const bytes = v128.load_zero<u32>(at);
  const twice = zipLow(bytes, bytes);
  return zipLow16(twice, twice);
}

/** Four bytes of a and of b as a0 b0 a0 b0 a1 b1 a1 b1 … */
// @ts-ignore: decorator
@inline function pairTwice(a: usize, b: usize): v128 {
  const both = zipLow(v128.load_zero<u32>(a), v128.load_zero<u32>(b));
  return zipLow16(both, both);
}

/** Two bytes of a and of b: a0 b0 four times, then a1 b1 four times. */
// @ts-ignore: decorator
@inline function pairFourTimes(a: usize, b: usize): v128 {
  const both = zipLow(v128.load_splat<u16>(a), v128.load_splat<u16>(b));
  const twice = zipLow16(both, both);
  return zipLow32(twice, twice);
}

/** For each byte of vector PART, a mask of the bit that its code has in a 1-bit plane. */
// @ts-ignore: decorator
@inline function bitMask(BITS: i32, PAIRED: i32, PART: i32): v128 {
  if (BITS >= 4) {
    if (PAIRED) {
      return PART == 0
        ? i8x16(1, 1, 4, 4, 16, 16, 64, 64, 1, 1, 4, 4, 16, 16, 64, 64)
        : i8x16(2, 2, 8, 8, 32, 32, -128, -128, 2, 2, 8, 8, 32, 32, -128, -128);
    }
    return PART == 0
      ? i8x16(1, 4, 16, 64, 1, 4, 16, 64, 1, 4, 16, 64, 1, 4, 16, 64)
      : i8x16(2, 8, 32, -128, 2, 8, 32, -128, 2, 8, 32, -128, 2, 8, 32, -128);
  }
  if (PAIRED) return i32x4.splat(PART == 0 ? 0x10100101 : PART == 1 ? 0x20200202 : PART == 2 ? 0x40400404 : <i32>0x80800808);
  return i16x8.splat(PART == 0 ? 0x1001 : PART == 1 ? 0x2002 : PART == 2 ? 0x4004 : <i16>0x8008);
}

/** Byte −1 where the code of vector PART has its bit set in a 1-bit plane, 0 elsewhere. */
// @ts-ignore: decorator
@inline function bitSet(BITS: i32, PAIRED: i32, PART: i32, plane: v128): v128 {
  const mask = bitMask(BITS, PAIRED, PART);
  return i8x16.eq(v128.and(plane, mask), mask);
}

/** The two bits that the codes of vector PART have in the second plane of 6 and 7 bits. */
// @ts-ignore: decorator
@inline function evenOdd2(PAIRED: i32, PART: i32, plane: v128): v128 {
  const first = PAIRED ? i32x4.splat(0x00000303) : i16x8.splat(0x0003);
  const second = PAIRED ? i32x4.splat(0x03030000) : i16x8.splat(0x0300);
  return v128.or(
    v128.and(PART == 0 ? plane : i16x8.shr_u(plane, 2), first),
    v128.and(i16x8.shr_u(plane, PART == 0 ? 4 : 6), second),
  );
}

/** The four bits that the codes of vector PART have in a 4-bit plane. */
// @ts-ignore: decorator
@inline function nibbles(PART: i32, plane: v128): v128 {
  return v128.and(PART == 0 ? plane : i16x8.shr_u(plane, 4), i8x16.splat(15));
}

/**
 * Codes of a trellis, each with the code before it in its lower two bits. Only the first code of a byte has its predecessor in
 * another byte, so only that one needs the shifted plane.
 */
// @ts-ignore: decorator
@inline function chained(PAIRED: i32, PART: i32, plane0: v128, plane1: v128): v128 {
  const mask = i8x16.splat(15);
  if (PART == 0) return v128.and(PAIRED ? plane1 : i64x2.shl(plane0, 2), mask);
  return v128.and(PART == 1 ? plane0 : i16x8.shr_u(plane0, 2 * PART - 2), mask);
}

/**
 * Vector PART of the codes of a group, u8x16. At 5 bits these are indices into the tables of even codes, and 255 where the code
 * is odd. plane0–plane2: the group's planes from `keyPlane…` or `valuePlane…`
 */
// @ts-ignore: decorator
@inline export function codes(BITS: i32, PAIRED: i32, PART: i32, plane0: v128, plane1: v128, plane2: v128): v128 {
  if (BITS == 8) return PART == 0 ? plane0 : plane1;
  if (BITS == TRELLIS) return chained(PAIRED, PART, plane0, plane1);
  if (BITS == 1) return bitSet(BITS, PAIRED, PART, plane0);
  if (BITS <= 3) {
    const high = v128.and(PART == 0 ? plane0 : i16x8.shr_u(plane0, 2 * PART), i8x16.splat(3));
    return BITS == 2 ? high : i8x16.sub(i8x16.add(high, high), bitSet(BITS, PAIRED, PART, plane1));
  }
  const high = nibbles(PART, plane0);
  if (BITS == 4) return high;
  if (BITS == 5) return v128.or(high, bitSet(BITS, PAIRED, PART, plane1));
  const six = v128.or(i16x8.shl(high, 2), evenOdd2(PAIRED, PART, plane1));
  if (BITS == 6) return six;
  return i8x16.sub(i8x16.add(six, six), bitSet(BITS, PAIRED, PART, plane2));
}

/** Indices into the tables of odd codes at 5 bits, and 255 where the code is even. Other widths do not use the result. */
// @ts-ignore: decorator
@inline export function oddCodes(BITS: i32, PAIRED: i32, PART: i32, plane0: v128, plane1: v128): v128 {
  if (BITS != 5) return plane0;
  const isEven = i8x16.eq(v128.and(plane1, bitMask(BITS, PAIRED, PART)), i64x2.splat(0));
  return v128.or(nibbles(PART, plane0), isEven);
}
