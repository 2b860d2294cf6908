/** @file Weight types as compile-time constants, and eight weights to two f32x4. */
import { HALF_BIAS, halfHigh, halfLow } from "../simd/vector";

export const F32: i32 = 0;
export const F16: i32 = 1;
export const BF16: i32 = 2;

// @ts-ignore: decorator
@inline export function bytesOf8(TYPE: i32): usize {
  return TYPE == F32 ? 32 : 16;
}

/**
 * First four of eight weights, given `raw`, the 16 bytes at p. "First" means columns 0–3 of f32 and f16, and columns
 * 0, 2, 4, 6 of bf16: those need one instruction. Activations are prepared in the same order.
 */
// @ts-ignore: decorator
@inline export function first(TYPE: i32, raw: v128): v128 {
  if (TYPE == F32) return raw;
  if (TYPE == F16) return f32x4.mul(halfLow(raw), f32x4.splat(HALF_BIAS));
  return i32x4.shl(raw, 16);
}

/** The other four. */
// @ts-ignore: decorator
@inline export function second(TYPE: i32, raw: v128, p: usize): v128 {
  if (TYPE == F32) return v128.load(p, 16);
  if (TYPE == F16) return f32x4.mul(halfHigh(raw), f32x4.splat(HALF_BIAS));
  return v128.and(raw, i32x4.splat(0xffff0000));
}
