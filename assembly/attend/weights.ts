/** @file Rounds softmax weights to int16 for values that are stored as integers, and adds the integer sums to f32 accumulators. */
import { horizontalMax, horizontalSum, roundToInt } from "../simd/vector";
import { LARGEST, MAX_TILE, ROW_BYTES, ROW_WBIAS, ROW_WSTEP, STEP, S_PRODUCTS, S_ROWS, S_SCORES, S_WEIGHTS } from "./params";

/**
 * Multiplies the softmax weights of a row by the values' scales, which gives w, and rounds them to int16 in S_WEIGHTS. The factor
 * before rounding is min(32767 / max |w|, (2³¹ / largest) / Σ|w|), so that no sum of weight · centroid exceeds 32 bits. ROW_WSTEP
 * of the row's state becomes the value of a unit of such a sum, and ROW_WBIAS half the sum of the rounded weights.
 * scales: f32 [count] · count: multiple of 4; weights up to the next multiple of 8 are 0
 */
export function quantizeWeights(side: usize, scratch: usize, row: usize, count: usize, scales: usize): void {
  const state = scratch + S_ROWS + row * ROW_BYTES;
  const scores = scratch + S_SCORES + row * MAX_TILE * 4;
  const products = scratch + S_PRODUCTS;
  let top = f32x4.splat(0), sum = f32x4.splat(0);
  for (let i: usize = 0; i < count * 4; i += 16) {
    const w = f32x4.mul(v128.load(scores + i), v128.load(scales + i));
    v128.store(products + i, w);
    const a = f32x4.abs(w);
    top = f32x4.max(top, a);
    sum = f32x4.add(sum, a);
  }
  // The following loop takes eight weights at a time.
  v128.store(products + count * 4, f32x4.splat(0));
  const most = horizontalMax(top);
  const limit = <f32>2147480000 / load<f32>(side, LARGEST) - <f32>64;
  const scale: f32 = most > 1e-30 ? min<f32>(<f32>32767 / most, limit / horizontalSum(sum)) : 0;
  const s = f32x4.splat(scale);
  let to = scratch + S_WEIGHTS + row * MAX_TILE * 2;
  let total = i32x4.splat(0);
  for (let i: usize = 0; i < count * 4; i += 32) {
    const a = roundToInt(f32x4.mul(v128.load(products + i), s));
    const b = roundToInt(f32x4.mul(v128.load(products + i, 16), s));
    total = i32x4.add(total, i32x4.add(a, b));
    v128.store(to, i16x8.narrow_i32x4_s(a, b));
    to += 16;
  }
  const half = i32x4.extract_lane(total, 0) + i32x4.extract_lane(total, 1) + i32x4.extract_lane(total, 2) + i32x4.extract_lane(total, 3);
  store<f32>(state, scale > 0 ? load<f32>(side, STEP) / scale : 0, ROW_WSTEP);
  store<i32>(state, half >> 1, ROW_WBIAS);
}

/** Adds four integer sums times their step to f32 accumulators. sums: i32x4 · step: f32x4 · offset: bytes from acc */
// @ts-ignore: decorator
@inline export function addSums(acc: usize, offset: usize, sums: v128, step: v128): void {
  v128.store(acc + offset, f32x4.add(v128.load(acc + offset), f32x4.mul(f32x4.convert_i32x4_s(sums), step)));
}
