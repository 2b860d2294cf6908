/**
 * @file The memory layout of f32, f16 and bf16 weights.
 *
 * The type is a type parameter, because only type parameters are certain to leave no branch in a loop: `f32`, `u16` for f16 and
 * `i16` for bf16, distinguished by the compiler's `isFloat<T>()` and `isSigned<T>()`.
 *
 * Weights are in panels of four rows, so that one row of activations reads one stream. A panel is a sequence of records of [4
 * rows][16 bytes]; a record holds four columns of f32 or eight of the 16-bit types.
 */

export type Half = u16;
export type Bfloat = i16;

/** Bytes of a record, which is a cache line. */
export const RECORD: usize = 64;

/** Columns of a record. */
// @ts-ignore: decorator
@inline export function recordCols<T>(): i32 {
  return isFloat<T>() ? 4 : 8;
}

/** Bytes of a panel; `stride` is a multiple of 8. */
// @ts-ignore: decorator
@inline export function panelBytes<T>(stride: i32): usize {
  return <usize>stride * (isFloat<T>() ? 16 : 8);
}

/** The factor on activations for f16 weights, whose unpacked values are the true ones times 2^−112. */
export const F16_X_FACTOR: f32 = 1.2676506002282294e30; // 2^100: a larger one would overflow for activations above 2^16
/** The factor on sums for f16 weights. */
export const F16_SUM_FACTOR: f32 = 4096; // 2^12

/**
 * Four weights from the 16 bytes of a row in a record: all of f32; columns 0, 2, 4, 6 of f16 and bf16, because these take fewer
 * instructions than columns 0 to 3. Activations are prepared in the same order.
 */
// @ts-ignore: decorator
@inline export function first<T>(raw: v128): v128 {
  if (isFloat<T>()) return raw;
  const high = i32x4.shl(raw, 16);
  if (isSigned<T>()) return high;
  return v128.and(i32x4.shr_s(high, 3), i32x4.splat(0x8fffe000));
}

/** Columns 1, 3, 5, 7 of f16 and bf16. */
// @ts-ignore: decorator
@inline export function second<T>(raw: v128): v128 {
  if (isSigned<T>()) return v128.and(raw, i32x4.splat(0xffff0000));
  return v128.and(i32x4.shr_s(raw, 3), i32x4.splat(0x8fffe000));
}
