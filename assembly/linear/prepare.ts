/**
 * @file Activations as the matrix kernels read them: rows padded with zeros, in the column order of the weights, and for
 * q8 in int16 with one scale a row.
 */
import { BLOCK, COLS, OUT, ROWS, SCALE, STRIDE, SUMS, X } from "../generated/prepare-params";
import { Bfloat, F16_X_FACTOR, Half } from "./types";

// @ts-ignore: decorator
@inline function loadTail(p: usize, count: i32): v128 {
  let v = f32x4.splat(0);
  if (count > 0) v = f32x4.replace_lane(v, 0, load<f32>(p));
  if (count > 1) v = f32x4.replace_lane(v, 1, load<f32>(p, 4));
  if (count > 2) v = f32x4.replace_lane(v, 2, load<f32>(p, 8));
  if (count > 3) v = f32x4.replace_lane(v, 3, load<f32>(p, 12));
  return v;
}

/** Eight values at column i as [first, second], zeros from `cols` on, stored to p. */
// @ts-ignore: decorator
@inline function storeEight<T>(row: usize, i: i32, cols: i32, p: usize): void {
  let a: v128, b: v128;
  const at = row + ((<usize>i) << 2);
  if (i + 8 <= cols) {
    a = v128.load(at);
    b = v128.load(at, 16);
  } else {
    a = loadTail(at, cols - i);
    b = loadTail(at + 16, cols - i - 4);
  }
  if (!isFloat<T>() && !isSigned<T>()) {
    a = f32x4.mul(a, f32x4.splat(F16_X_FACTOR));
    b = f32x4.mul(b, f32x4.splat(F16_X_FACTOR));
  }
  if (!isFloat<T>()) {
    v128.store(p, v128.shuffle<u32>(a, b, 0, 2, 4, 6));
    v128.store(p, v128.shuffle<u32>(a, b, 1, 3, 5, 7), 16);
  } else {
    v128.store(p, a);
    v128.store(p, b, 16);
  }
}

// @ts-ignore: decorator
@inline function prepareFloat<T>(task: i32, params: usize): void {
  const cols = load<i32>(params, COLS);
  const stride = load<i32>(params, STRIDE);
  const block = load<i32>(params, BLOCK);
  const end = min(load<i32>(params, ROWS), (task + 1) * block);
  for (let r = task * block; r < end; r++) {
    const row = load<usize>(params, X) + (<usize>r * <usize>cols << 2);
    const out = load<usize>(params, OUT) + (<usize>r * <usize>stride << 2);
    for (let i = 0; i < stride; i += 8) storeEight<T>(row, i, cols, out + (<usize>i << 2));
  }
}

export function prepareF32(task: i32, params: usize, scratch: usize): void {
  prepareFloat<f32>(task, params);
}

/** Of each eight columns the even ones first, times F16_X_FACTOR. */
export function prepareF16(task: i32, params: usize, scratch: usize): void {
  prepareFloat<Half>(task, params);
}

/** Of each eight columns the even ones first. */
export function prepareBf16(task: i32, params: usize, scratch: usize): void {
  prepareFloat<Bfloat>(task, params);
}

/** 32 int16 at p in the order of q4's parts: even columns of the first 16, odd ones, and of the last 16. */
// @ts-ignore: decorator
@inline function everySecond(p: usize): void {
  for (let half: usize = 0; half < 64; half += 32) {
    const a = v128.load(p + half);
    const b = v128.load(p + half, 16);
    v128.store(p + half, v128.shuffle<u16>(a, b, 0, 2, 4, 6, 8, 10, 12, 14));
    v128.store(p + half, v128.shuffle<u16>(a, b, 1, 3, 5, 7, 9, 11, 13, 15), 16);
  }
}

/** For q8 (`i8`) and q4 (`u8`) weights: x = int16 · xScale[row]; a NaN in a row makes its scale NaN, so that it is not lost. */
// @ts-ignore: decorator
@inline function prepareGrouped<T>(task: i32, params: usize): void {
  const cols = load<i32>(params, COLS);
  const stride = load<i32>(params, STRIDE);
  const block = load<i32>(params, BLOCK);
  const end = min(load<i32>(params, ROWS), (task + 1) * block);
  for (let r = task * block; r < end; r++) {
    const row = load<usize>(params, X) + (<usize>r * <usize>cols << 2);
    const out = load<usize>(params, OUT) + (<usize>r * <usize>stride << 1);
    let peaks = f32x4.splat(0);
    let i = 0;
    for (; i + 4 <= cols; i += 4) peaks = f32x4.max(peaks, f32x4.abs(v128.load(row + (<usize>i << 2))));
    peaks = f32x4.max(peaks, f32x4.abs(loadTail(row + (<usize>i << 2), cols - i)));
    const halves = f32x4.max(peaks, v128.shuffle<u32>(peaks, peaks, 2, 3, 0, 1));
    const peak = max<f32>(f32x4.extract_lane(halves, 0), f32x4.extract_lane(halves, 1));
    store<f32>(load<usize>(params, SCALE) + (<usize>r << 2), peak / 32767);
    const inverse = f32x4.splat(peak == 0 ? 0 : <f32>32767 / peak);
    // Sums of four rows lie side by side: [rows / 4][stride / 32][4].
    let sums = load<usize>(params, SUMS) + <usize>(r >> 2) * (<usize>stride >> 1) + (<usize>(r & 3) << 2);
    let sum = i32x4.splat(0);
    for (i = 0; i < stride; i += 8) {
      const at = row + (<usize>i << 2);
      let a: v128, b: v128;
      if (i + 8 <= cols) {
        a = v128.load(at);
        b = v128.load(at, 16);
      } else {
        a = loadTail(at, cols - i);
        b = loadTail(at + 16, cols - i - 4);
      }
      const low = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(a, inverse)));
      const high = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(b, inverse)));
      v128.store(out + (<usize>i << 1), i16x8.narrow_i32x4_s(low, high));
      if (!isSigned<T>()) {
        sum = i32x4.add(sum, i32x4.add(low, high));
        if ((i & 31) == 24) {
          everySecond(out + (<usize>(i - 24) << 1));
          const pairs = i32x4.add(sum, v128.shuffle<u32>(sum, sum, 2, 3, 0, 1));
          store<f32>(sums, <f32>(i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1)));
          sum = i32x4.splat(0);
          sums += 16;
        }
      }
    }
  }
}

export function prepareQ8(task: i32, params: usize, scratch: usize): void {
  prepareGrouped<i8>(task, params);
}

/** With the sums of each group of 32, which minimums are multiplied by. */
export function prepareQ4(task: i32, params: usize, scratch: usize): void {
  prepareGrouped<u8>(task, params);
}
