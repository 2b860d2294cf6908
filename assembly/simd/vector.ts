/** @file Small SIMD helpers. Everything here is inlined; nothing holds state. */

/** a·b + c, fused where the module was built with relaxed SIMD. Only for sums whose last bit nobody compares. */
// @ts-ignore: decorator
@inline export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** Table lookup of 16 bytes; every index is below 16. */
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

/** The same for f32. */
// @ts-ignore: decorator
@inline export function transposeSumF32(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<u32>(a, b, 0, 4, 1, 5), v128.shuffle<u32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<u32>(c, d, 0, 4, 1, 5), v128.shuffle<u32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<u32>(ab, cd, 0, 1, 4, 5), v128.shuffle<u32>(ab, cd, 2, 3, 6, 7));
}

/** 1.5 · 2²³: adding it rounds |x| < 2²² to an integer (ties to even), which then sits in the low bits. */
const ROUND: f32 = 12582912;

/** Nearest integers of |x| < 2²². Three times quicker than nearest and a saturating conversion. */
// @ts-ignore: decorator
@inline export function roundToInt(x: v128): v128 {
  return i32x4.sub(f32x4.add(x, f32x4.splat(ROUND)), f32x4.splat(ROUND));
}

/**
 * exp(x), relative error about 2e-7, for x from −87 (below it the result is held there) to 88.
 * Cody–Waite reduction to |f| ≤ ln 2 / 2, then a Taylor polynomial of degree 6, then n added to the exponent.
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

// @ts-ignore: decorator
@inline export function expOne(x: f32): f32 {
  return f32x4.extract_lane(exp(f32x4.splat(x)), 0);
}

/** cap · tanh(x / cap). rate: 2 / cap. exp is held at both ends, where tanh is ±1. */
// @ts-ignore: decorator
@inline export function capped(x: v128, cap: v128, rate: v128): v128 {
  return f32x4.sub(cap, f32x4.div(f32x4.add(cap, cap), f32x4.add(exp(f32x4.mul(x, rate)), f32x4.splat(1))));
}

/** What `halfLow`/`halfHigh` leave out: their results are the true values times 2^−112. */
export const HALF_BIAS: f32 = 5192296858534827628530496329220096.0;

/**
 * Upper halves of eight finite f16 as f32 times 2^−112: sign, exponent and seven mantissa bits moved to where f32 has them.
 * Subnormals come out right. `halfLow`/`halfHigh` join them with the lower halves.
 */
// @ts-ignore: decorator
@inline function halfUpper(h: v128): v128 {
  return v128.and(i16x8.shr_s(h, 3), i16x8.splat(-28673)); // 0x8fff
}

/** Lanes 0–3 of eight finite f16, times 2^−112. */
// @ts-ignore: decorator
@inline export function halfLow(h: v128): v128 {
  return v128.shuffle<u16>(i16x8.shl(h, 13), halfUpper(h), 0, 8, 1, 9, 2, 10, 3, 11);
}

/** Lanes 4–7, see `halfLow`. */
// @ts-ignore: decorator
@inline export function halfHigh(h: v128): v128 {
  return v128.shuffle<u16>(i16x8.shl(h, 13), halfUpper(h), 4, 12, 5, 13, 6, 14, 7, 15);
}

/** Four f16 at p as true f32 values. */
// @ts-ignore: decorator
@inline export function loadHalves(p: usize): v128 {
  return f32x4.mul(halfLow(v128.load_zero<u64>(p)), f32x4.splat(HALF_BIAS));
}

/** One finite f16 as f32. */
// @ts-ignore: decorator
@inline export function loadHalf(p: usize): f32 {
  const bits = ((<i32>load<i16>(p)) << 13) & <i32>0x8fffe000;
  return reinterpret<f32>(bits) * HALF_BIAS;
}

/** Four finite f16 from p on. */
// @ts-ignore: decorator
@inline export function loadFourHalves(p: usize): v128 {
  const bits = v128.and(i32x4.shl(v128.load_ext<i16>(p), 13), i32x4.splat(<i32>0x8fffe000));
  return f32x4.mul(bits, f32x4.splat(HALF_BIAS));
}

/** Nearest f16 (ties to even) of a finite value within ±65504, as bits. */
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

/** `toHalf` of four lanes, in the low half of each i32 lane. */
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
 * A constant that stays in a register: engines build one anew wherever it is used, two instructions each, but not what comes from
 * memory. at: 16 bytes of the thread
 */
// @ts-ignore: decorator
@inline export function held(v: v128, at: usize): v128 {
  v128.store(at, v);
  return v128.load(at);
}
