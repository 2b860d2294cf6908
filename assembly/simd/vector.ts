/** @file Small SIMD functions without state. All of them are inlined. */

/** a·b + c for f32x4. With relaxed SIMD it may be fused, so it only serves sums whose last bit need not be the same everywhere. */
// @ts-ignore: decorator
@inline export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** Looks up 16 bytes in a table. Indices below 16 give a byte, those from 128 on give 0; relaxed SIMD leaves the others open. */
// @ts-ignore: decorator
@inline export function lookup(table: v128, index: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i8x16.relaxed_swizzle(table, index);
  return i8x16.swizzle(table, index);
}

/** Bytes 0–7 of a and b, alternating. */
// @ts-ignore: decorator
@inline export function zipLow(a: v128, b: v128): v128 {
  return v128.shuffle<u8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

/** Bytes 8–15 of a and b, alternating. */
// @ts-ignore: decorator
@inline export function zipHigh(a: v128, b: v128): v128 {
  return v128.shuffle<u8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/** 16-bit lanes 0–3 of a and b, alternating. */
// @ts-ignore: decorator
@inline export function zipLow16(a: v128, b: v128): v128 {
  return v128.shuffle<u16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

/** 16-bit lanes 4–7 of a and b, alternating. */
// @ts-ignore: decorator
@inline export function zipHigh16(a: v128, b: v128): v128 {
  return v128.shuffle<u16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

/** 32-bit lanes 0 and 1 of a and b, alternating. */
// @ts-ignore: decorator
@inline export function zipLow32(a: v128, b: v128): v128 {
  return v128.shuffle<u32>(a, b, 0, 4, 1, 5);
}

/** 32-bit lanes 2 and 3 of a and b, alternating. */
// @ts-ignore: decorator
@inline export function zipHigh32(a: v128, b: v128): v128 {
  return v128.shuffle<u32>(a, b, 2, 6, 3, 7);
}

/** The sum of four f32 lanes, as (v0 + v2) + (v1 + v3). */
// @ts-ignore: decorator
@inline export function horizontalSum(v: v128): f32 {
  const t = f32x4.add(v, v128.shuffle<u32>(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(t, 0) + f32x4.extract_lane(t, 1);
}

// @ts-ignore: decorator
@inline export function horizontalMax(v: v128): f32 {
  const t = f32x4.max(v, v128.shuffle<u32>(v, v, 2, 3, 0, 1));
  return max<f32>(f32x4.extract_lane(t, 0), f32x4.extract_lane(t, 1));
}

/** Lane sums of four vectors of i32: [Σa, Σb, Σc, Σd]. */
// @ts-ignore: decorator
@inline export function transposeSum(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<u32>(a, b, 0, 4, 1, 5), v128.shuffle<u32>(a, b, 2, 6, 3, 7));
  const cd = i32x4.add(v128.shuffle<u32>(c, d, 0, 4, 1, 5), v128.shuffle<u32>(c, d, 2, 6, 3, 7));
  return i32x4.add(v128.shuffle<u32>(ab, cd, 0, 1, 4, 5), v128.shuffle<u32>(ab, cd, 2, 3, 6, 7));
}

/** Lane sums of four vectors of f32: [Σa, Σb, Σc, Σd]. */
// @ts-ignore: decorator
@inline export function transposeSumF32(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<u32>(a, b, 0, 4, 1, 5), v128.shuffle<u32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<u32>(c, d, 0, 4, 1, 5), v128.shuffle<u32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<u32>(ab, cd, 0, 1, 4, 5), v128.shuffle<u32>(ab, cd, 2, 3, 6, 7));
}

/** 1.5 · 2²³. Adding it rounds |x| < 2²² to an integer (ties to even), which is then in the low bits of the sum. */
export const ROUND: f32 = 12582912;

/** Nearest integers of f32 lanes, |x| < 2²², as i32. This is three times as fast as `nearest` and a saturating conversion. */
// @ts-ignore: decorator
@inline export function roundToInt(x: v128): v128 {
  return i32x4.sub(f32x4.add(x, f32x4.splat(ROUND)), f32x4.splat(ROUND));
}

/**
 * exp of four f32 with a relative error of about 2e-7. x is clamped to −87 … 88, so results are never 0 or infinite.
 * x is reduced to n · ln 2 + f with |f| ≤ ln 2 / 2 (Cody–Waite), exp(f) is a Taylor polynomial of degree 6, and n is added to
 * the exponent.
 */
// @ts-ignore: decorator
@inline export function exp(x: v128): v128 {
  const clamped = f32x4.min(f32x4.max(x, f32x4.splat(-87)), f32x4.splat(88));
  const shifted = f32x4.add(f32x4.mul(clamped, f32x4.splat(1.44269504088896)), f32x4.splat(ROUND));
  const n = f32x4.sub(shifted, f32x4.splat(ROUND));
  const f = f32x4.sub(f32x4.sub(clamped, f32x4.mul(n, f32x4.splat(0.693359375))), f32x4.mul(n, f32x4.splat(-2.12194440e-4)));
  let p = f32x4.splat(1.0 / 720.0);
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(1.0 / 120.0));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(1.0 / 24.0));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(1.0 / 6.0));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(0.5));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(1));
  p = f32x4.add(f32x4.mul(p, f), f32x4.splat(1));
  return i32x4.add(p, i32x4.shl(shifted, 23));
}

/** exp of one f32, with the same result as a lane of `exp`. */
// @ts-ignore: decorator
@inline export function expOne(x: f32): f32 {
  return f32x4.extract_lane(exp(f32x4.splat(x)), 0);
}

/** cap · tanh(x / cap) of four f32. `exp` is clamped at both ends, where tanh is ±1 anyway. rate: 2 / cap */
// @ts-ignore: decorator
@inline export function capped(x: v128, cap: v128, rate: v128): v128 {
  return f32x4.sub(cap, f32x4.div(f32x4.add(cap, cap), f32x4.add(exp(f32x4.mul(x, rate)), f32x4.splat(1))));
}

/** 2¹¹², the factor that the results of `halfLow` and `halfHigh` lack. */
export const HALF_BIAS: f32 = 5192296858534827628530496329220096.0;

/**
 * The upper 16 bits of eight finite f16 as f32 times 2⁻¹¹²: sign, exponent and seven bits of the mantissa are moved to where f32
 * has them. The factor is the difference of the exponents' biases, and makes subnormals right without a special case.
 */
// @ts-ignore: decorator
@inline function halfUpper(h: v128): v128 {
  return v128.and(i16x8.shr_s(h, 3), i16x8.splat(-28673)); // 0x8fff
}

/** Lanes 0–3 of eight finite f16 as f32 times 2⁻¹¹². */
// @ts-ignore: decorator
@inline export function halfLow(h: v128): v128 {
  return v128.shuffle<u16>(i16x8.shl(h, 13), halfUpper(h), 0, 8, 1, 9, 2, 10, 3, 11);
}

/** Lanes 4–7 of eight finite f16 as f32 times 2⁻¹¹². */
// @ts-ignore: decorator
@inline export function halfHigh(h: v128): v128 {
  return v128.shuffle<u16>(i16x8.shl(h, 13), halfUpper(h), 4, 12, 5, 13, 6, 14, 7, 15);
}

/** Four finite f16 at p as f32. */
// @ts-ignore: decorator
@inline export function loadHalves(p: usize): v128 {
  return f32x4.mul(halfLow(v128.load_zero<u64>(p)), f32x4.splat(HALF_BIAS));
}

/** One finite f16 at p as f32. */
// @ts-ignore: decorator
@inline export function loadHalf(p: usize): f32 {
  const bits = ((<i32>load<i16>(p)) << 13) & <i32>0x8fffe000;
  return reinterpret<f32>(bits) * HALF_BIAS;
}

/** As `loadHalf`, of a number that is often subnormal, such as a scale of scales: processors take a hundred cycles to multiply one. */
// @ts-ignore: decorator
@inline export function loadSmallHalf(p: usize): f32 {
  const half = <i32>load<i16>(p);
  const magnitude = half & 0x7fff;
  const value = magnitude < 0x400 ? <f32>magnitude * <f32>5.960464477539063e-8 : reinterpret<f32>((magnitude << 13) + 0x38000000);
  return half < 0 ? -value : value;
}

/** Four finite f16 from p on. */
// @ts-ignore: decorator
@inline export function loadFourHalves(p: usize): v128 {
  const bits = v128.and(i32x4.shl(v128.load_ext<i16>(p), 13), i32x4.splat(<i32>0x8fffe000));
  return f32x4.mul(bits, f32x4.splat(HALF_BIAS));
}

/** The bits of the nearest f16 (ties to even) of one f32 within ±65504. */
// @ts-ignore: decorator
@inline export function toHalf(x: f32): u32 {
  const bits = reinterpret<u32>(x);
  const sign = (bits >> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude < 0x38800000) {
    return sign | (reinterpret<u32>(reinterpret<f32>(magnitude) + 0.5) - 0x3f000000);
  }
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13);
}

/** `toHalf` of four f32. The bits are in the lower half of each i32 lane. */
// @ts-ignore: decorator
@inline export function toHalves(x: v128): v128 {
  const sign = v128.and(i32x4.shr_u(x, 16), i32x4.splat(0x8000));
  const magnitude = v128.and(x, i32x4.splat(0x7fffffff));
  const small = i32x4.sub(f32x4.add(magnitude, f32x4.splat(0.5)), i32x4.splat(0x3f000000));
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const normal = i32x4.shr_u(
    i32x4.add(i32x4.add(magnitude, i32x4.splat(0xfff - 0x38000000)), odd),
    13,
  );
  const isSmall = i32x4.lt_s(magnitude, i32x4.splat(0x38800000));
  return v128.or(sign, v128.bitselect(small, normal, isSmall));
}

/**
 * Keeps a constant in a register. Engines make a constant vector anew, with two instructions, wherever it is used; they do not do
 * so for one that was loaded from memory. at: 16 bytes that only this thread uses
 */
// @ts-ignore: decorator
@inline export function held(v: v128, at: usize): v128 {
  v128.store(at, v);
  return v128.load(at);
}
