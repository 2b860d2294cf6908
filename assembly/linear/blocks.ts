/**
 * @file ggml's blocks: 32 values of a row as floats, or as codes of ours where a format of ours holds them. The definitions are
 * src/weights/formats/ggml; every number here is theirs to the bit.
 */
import {
  IQ4_NL, IQ4_XS, MXFP4, Q2_K, Q3_K, Q4_0, Q4_1, Q4_K, Q5_0, Q5_1, Q5_K, Q6_K, Q8_0,
} from "../generated/weight-types";
import { loadSmallHalf, toHalf } from "../simd/vector";

/** Bytes of a block. */
export function blockBytes(dtype: i32): usize {
  if (dtype == Q8_0) return 34;
  if (dtype == Q4_0 || dtype == IQ4_NL) return 18;
  if (dtype == Q4_1) return 20;
  if (dtype == Q5_0) return 22;
  if (dtype == Q5_1) return 24;
  if (dtype == MXFP4) return 17;
  if (dtype == Q2_K) return 84;
  if (dtype == Q3_K) return 110;
  if (dtype == Q4_K) return 144;
  if (dtype == Q5_K) return 176;
  if (dtype == Q6_K) return 210;
  return 136; // IQ4_XS
}

/** Whether a block has 256 values instead of 32. */
// @ts-ignore: decorator
@inline export function isSuper(dtype: i32): bool {
  return (dtype >= Q2_K && dtype <= Q6_K) || dtype == IQ4_XS;
}

// @ts-ignore: decorator
@inline function low(v: v128): v128 {
  return v128.and(v, i8x16.splat(15));
}

/** Bits of 16 bytes from `shift` on. CPUs have no shift of bytes; what comes from the byte above is masked out. */
// @ts-ignore: decorator
@inline function bits(v: v128, shift: i32, mask: i8): v128 {
  return v128.and(i16x8.shr_u(v, shift), i8x16.splat(mask));
}

// @ts-ignore: decorator
@inline function high(v: v128): v128 {
  return bits(v, 4, 15);
}

/** Nibbles of 16 bytes, shifted down by 0 or 4. */
// @ts-ignore: decorator
@inline function nibbles(p: usize, shift: i32): v128 {
  return bits(v128.load(p), shift, 15);
}

/** Two bits of each of 16 bytes. */
// @ts-ignore: decorator
@inline function pairs(p: usize, shift: i32): v128 {
  return bits(v128.load(p), shift, 3);
}

/** Sixteen fifth bits, bit i for value i, as 16 or 0. */
// @ts-ignore: decorator
@inline function fifthBits(p: usize): v128 {
  const bytes = v128.swizzle(i16x8.splat(load<u16>(p)), i8x16(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1));
  const bit = i8x16(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
  return v128.and(i8x16.eq(v128.and(bytes, bit), bit), i8x16.splat(16));
}

/** Bit `shift` of 16 bytes, moved to bit `to`. */
// @ts-ignore: decorator
@inline function bitOf(p: usize, shift: i32, to: i32): v128 {
  return i16x8.shl(bits(v128.load(p), shift, 1), to);
}

/** Levels of IQ4_NL and IQ4_XS by nibble. */
// @ts-ignore: decorator
@inline function levels(v: v128): v128 {
  return v128.swizzle(i8x16(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113), v);
}

/** FP4, doubled, by nibble. */
// @ts-ignore: decorator
@inline function fp4(v: v128): v128 {
  return v128.swizzle(i8x16(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12), v);
}

/** 2^(e − 128), below the normal numbers too. */
// @ts-ignore: decorator
@inline function scaleOfMxfp4(p: usize): f32 {
  const e = <i32>load<u8>(p);
  return reinterpret<f32>(e > 1 ? (e - 1) << 23 : 0x200000 << e);
}

/** Six-bit scale of group g of 16, less 32. */
// @ts-ignore: decorator
@inline function scaleOfQ3(p: usize, g: i32): f32 {
  const four = (<i32>load<u8>(p + <usize>(g & 7)) >> (4 * (g >> 3))) & 15;
  const more = (<i32>load<u8>(p + <usize>(8 + (g & 3))) >> (2 * (g >> 2))) & 3;
  return <f32>((four | (more << 4)) - 32);
}

/** Six-bit scale of group s of 8 of Q4_K and Q5_K. */
// @ts-ignore: decorator
@inline function scaleOfQ4(p: usize, s: i32): f32 {
  if (s < 4) return <f32>(<i32>load<u8>(p + <usize>s) & 63);
  return <f32>((<i32>load<u8>(p + <usize>(s + 4)) & 15) | ((<i32>load<u8>(p + <usize>(s - 4)) >> 6) << 4));
}

/** Six-bit minimum of the group. */
// @ts-ignore: decorator
@inline function minimumOfQ4(p: usize, s: i32): f32 {
  if (s < 4) return <f32>(<i32>load<u8>(p + <usize>(s + 4)) & 63);
  return <f32>((<i32>load<u8>(p + <usize>(s + 4)) >> 4) | ((<i32>load<u8>(p + <usize>s) >> 6) << 4));
}

/** d times the six-bit scale, less 32, of group s of 8 of IQ4_XS. */
// @ts-ignore: decorator
@inline function scaleOfXs(p: usize, s: i32): f32 {
  const four = (<i32>load<u8>(p + <usize>(s >> 1), 4) >> (4 * (s & 1))) & 15;
  const more = (<i32>load<u8>(p + <usize>(s >> 2), 2) >> (2 * (s & 3))) & 3;
  return loadSmallHalf(p) * <f32>((four | (more << 4)) - 32);
}

const NONE = 0;
const PLUS = 1;
const MINUS = 2;

/** scale · code of four, with or without a minimum. */
// @ts-ignore: decorator
@inline function four(codes: v128, scale: v128, minimum: v128, how: i32): v128 {
  const product = f32x4.mul(f32x4.convert_i32x4_s(codes), scale);
  if (how == PLUS) return f32x4.add(product, minimum);
  if (how == MINUS) return f32x4.sub(product, minimum);
  return product;
}

/** Sixteen signed codes to floats. */
// @ts-ignore: decorator
@inline function put(out: usize, codes: v128, scale: f32, minimum: f32, how: i32): void {
  const a = f32x4.splat(scale);
  const b = f32x4.splat(minimum);
  const first = i16x8.extend_low_i8x16_s(codes);
  const second = i16x8.extend_high_i8x16_s(codes);
  v128.store(out, four(i32x4.extend_low_i16x8_s(first), a, b, how));
  v128.store(out, four(i32x4.extend_high_i16x8_s(first), a, b, how), 16);
  v128.store(out, four(i32x4.extend_low_i16x8_s(second), a, b, how), 32);
  v128.store(out, four(i32x4.extend_high_i16x8_s(second), a, b, how), 48);
}

/** Values [32 · s, 32 · s + 32) of the block at p as f32; s is 0 in blocks of 32. */
export function unpackGroup(dtype: i32, p: usize, s: i32, out: usize): void {
  const next = out + 64;
  if (dtype == Q8_0) {
    const d = loadSmallHalf(p);
    put(out, v128.load(p, 2), d, 0, NONE);
    put(next, v128.load(p, 18), d, 0, NONE);
  } else if (dtype == Q4_0) {
    const d = loadSmallHalf(p);
    const v = v128.load(p, 2);
    put(out, i8x16.sub(low(v), i8x16.splat(8)), d, 0, NONE);
    put(next, i8x16.sub(high(v), i8x16.splat(8)), d, 0, NONE);
  } else if (dtype == Q4_1) {
    const v = v128.load(p, 4);
    put(out, low(v), loadSmallHalf(p), loadSmallHalf(p + 2), PLUS);
    put(next, high(v), loadSmallHalf(p), loadSmallHalf(p + 2), PLUS);
  } else if (dtype == Q5_0) {
    const d = loadSmallHalf(p);
    put(out, codesOfQ5(p, 0), d, 0, NONE);
    put(next, codesOfQ5(p, 1), d, 0, NONE);
  } else if (dtype == Q5_1) {
    const v = v128.load(p, 8);
    put(out, v128.or(low(v), fifthBits(p + 4)), loadSmallHalf(p), loadSmallHalf(p + 2), PLUS);
    put(next, v128.or(high(v), fifthBits(p + 6)), loadSmallHalf(p), loadSmallHalf(p + 2), PLUS);
  } else if (dtype == IQ4_NL) {
    const v = v128.load(p, 2);
    put(out, levels(low(v)), loadSmallHalf(p), 0, NONE);
    put(next, levels(high(v)), loadSmallHalf(p), 0, NONE);
  } else if (dtype == MXFP4) {
    const v = v128.load(p, 1);
    put(out, fp4(low(v)), scaleOfMxfp4(p), 0, NONE);
    put(next, fp4(high(v)), scaleOfMxfp4(p), 0, NONE);
  } else {
    unpackSuper(dtype, p, s, out, next);
  }
}

function unpackSuper(dtype: i32, p: usize, s: i32, out: usize, next: usize): void {
  const half = <usize>(s >> 2) << 5;
  const pair = 2 * (s & 3);
  const nibble = 4 * (s & 1);
  if (dtype == Q2_K) {
    const d = loadSmallHalf(p + 80);
    const dmin = loadSmallHalf(p + 82);
    const first = <i32>load<u8>(p + 2 * <usize>s);
    const second = <i32>load<u8>(p + 2 * <usize>s, 1);
    put(out, pairs(p + 16 + half, pair), d * <f32>(first & 15), dmin * <f32>(first >> 4), MINUS);
    put(next, pairs(p + 32 + half, pair), d * <f32>(second & 15), dmin * <f32>(second >> 4), MINUS);
  } else if (dtype == Q3_K) {
    const d = loadSmallHalf(p + 108);
    const center = i8x16.splat(4);
    const first = v128.or(pairs(p + 32 + half, pair), bitOf(p, s, 2));
    const second = v128.or(pairs(p + 48 + half, pair), bitOf(p + 16, s, 2));
    put(out, i8x16.sub(first, center), d * scaleOfQ3(p + 96, 2 * s), 0, NONE);
    put(next, i8x16.sub(second, center), d * scaleOfQ3(p + 96, 2 * s + 1), 0, NONE);
  } else if (dtype == Q4_K || dtype == Q5_K) {
    const a = loadSmallHalf(p) * scaleOfQ4(p + 4, s);
    const b = loadSmallHalf(p + 2) * minimumOfQ4(p + 4, s);
    const at = p + (dtype == Q4_K ? 16 : 48) + (<usize>(s >> 1) << 5);
    let first = nibbles(at, nibble);
    let second = nibbles(at + 16, nibble);
    if (dtype == Q5_K) {
      first = v128.or(first, bitOf(p + 16, s, 4));
      second = v128.or(second, bitOf(p + 32, s, 4));
    }
    put(out, first, a, b, MINUS);
    put(next, second, a, b, MINUS);
  } else if (dtype == Q6_K) {
    const d = loadSmallHalf(p + 208);
    const lows = p + 2 * half + (<usize>(s & 1) << 5);
    const shift = 4 * ((s >> 1) & 1);
    const highs = p + 128 + half;
    const center = i8x16.splat(32);
    const first = v128.or(nibbles(lows, shift), i16x8.shl(pairs(highs, pair), 4));
    const second = v128.or(nibbles(lows + 16, shift), i16x8.shl(pairs(highs + 16, pair), 4));
    put(out, i8x16.sub(first, center), d * <f32>load<i8>(p + 2 * <usize>s, 192), 0, NONE);
    put(next, i8x16.sub(second, center), d * <f32>load<i8>(p + 2 * <usize>s, 193), 0, NONE);
  } else {
    const scale = scaleOfXs(p, s);
    const v = v128.load(p + (<usize>s << 4), 8);
    put(out, levels(low(v)), scale, 0, NONE);
    put(next, levels(high(v)), scale, 0, NONE);
  }
}

/** Codes of half 0 or 1 of a block of Q5_0. */
// @ts-ignore: decorator
@inline function codesOfQ5(p: usize, half: i32): v128 {
  const v = v128.load(p, 6);
  return i8x16.sub(v128.or(half ? high(v) : low(v), fifthBits(p + 2 + 2 * <usize>half)), i8x16.splat(16));
}

/** Whether a half is NaN or infinite. */
// @ts-ignore: decorator
@inline function isBadHalf(p: usize): bool {
  return (load<u16>(p) & 0x7c00) == 0x7c00;
}

/** Whether the scale or the minimum of a block among `numBytes` is NaN or infinite; nothing else of a block can be. */
export function haveBadScales(dtype: i32, p: usize, numBytes: usize): bool {
  if (dtype == MXFP4) return false;
  const bytes = blockBytes(dtype);
  const at: usize = dtype == Q2_K ? 80 : dtype == Q3_K ? 108 : dtype == Q6_K ? 208 : 0;
  const hasMinimum = dtype == Q4_1 || dtype == Q5_1 || dtype == Q2_K || dtype == Q4_K || dtype == Q5_K;
  let isBad = false;
  for (let i = at; i < numBytes; i += bytes) {
    isBad = isBad || isBadHalf(p + i) || (hasMinimum && isBadHalf(p + i + 2));
  }
  return isBad;
}

/** Whether q8 has the codes of these blocks. */
// @ts-ignore: decorator
@inline export function isInQ8(dtype: i32): bool {
  return dtype == Q8_0 || dtype == Q5_0 || dtype == IQ4_NL || dtype == IQ4_XS || dtype == MXFP4;
}

/** Whether q4 has the codes of these blocks. */
// @ts-ignore: decorator
@inline export function isInQ4(dtype: i32): bool {
  return dtype == Q4_0 || dtype == Q4_1 || dtype == Q4_K;
}

/** The codes of group s of a block as int8 [32]. returns: the scale */
// @ts-ignore: decorator
@inline export function codesToQ8(dtype: i32, p: usize, s: i32, codes: usize): f32 {
  if (dtype == Q8_0) {
    v128.store(codes, v128.load(p, 2));
    v128.store(codes, v128.load(p, 18), 16);
    return loadSmallHalf(p);
  }
  if (dtype == Q5_0) {
    v128.store(codes, codesOfQ5(p, 0));
    v128.store(codes, codesOfQ5(p, 1), 16);
    return loadSmallHalf(p);
  }
  if (dtype == MXFP4) {
    const v = v128.load(p, 1);
    v128.store(codes, fp4(low(v)));
    v128.store(codes, fp4(high(v)), 16);
    return scaleOfMxfp4(p);
  }
  const v = dtype == IQ4_XS ? v128.load(p + (<usize>s << 4), 8) : v128.load(p, 2);
  v128.store(codes, levels(low(v)));
  v128.store(codes, levels(high(v)), 16);
  return dtype == IQ4_XS ? scaleOfXs(p, s) : loadSmallHalf(p);
}

/** f16 bits, infinite beyond the largest. */
// @ts-ignore: decorator
@inline function halfBits(x: f32): u32 {
  return abs(x) >= 65536 ? (x < 0 ? 0xfc00 : 0x7c00) : toHalf(x);
}

/** The nibbles of group s of a block as [16] bytes. returns: scale and minimum as f16 bits, the minimum above */
// @ts-ignore: decorator
@inline export function codesToQ4(dtype: i32, p: usize, s: i32, codes: usize): u32 {
  if (dtype == Q4_0) {
    v128.store(codes, v128.load(p, 2));
    return <u32>load<u16>(p) | (halfBits(<f32>-8 * loadSmallHalf(p)) << 16);
  }
  if (dtype == Q4_1) {
    v128.store(codes, v128.load(p, 4));
    return load<u32>(p);
  }
  const at = p + 16 + (<usize>(s >> 1) << 5);
  const shift = 4 * (s & 1);
  v128.store(codes, v128.or(nibbles(at, shift), i16x8.shl(nibbles(at + 16, shift), 4)));
  const scale = halfBits(loadSmallHalf(p) * scaleOfQ4(p + 4, s));
  return scale | (halfBits(-loadSmallHalf(p + 2) * minimumOfQ4(p + 4, s)) << 16);
}
