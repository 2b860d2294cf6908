/** @file Activations for q8 weights: int16 with one scale a row, rows padded with zeros to whole groups of 32. */
import { horizontalMax } from "../simd/vector";

/** A row (or group) whose largest value is below this becomes zeros: the reciprocal would overflow. */
export const MIN_PEAK: f32 = 1e-30;

// @ts-ignore: decorator
@inline function loadRest(p: usize, count: i32): v128 {
  let v = f32x4.splat(0);
  if (count > 0) v = f32x4.replace_lane(v, 0, load<f32>(p));
  if (count > 1) v = f32x4.replace_lane(v, 1, load<f32>(p, 4));
  if (count > 2) v = f32x4.replace_lane(v, 2, load<f32>(p, 8));
  return v;
}

/**
 * x ≈ code · scale, scale = max|x| / 32767. Task = row. Parameters, 4 bytes each:
 *   0 x f32 [rows][cols]   4 codes int16 [rows][stride]   8 scales f32 [rows]   12 cols   16 stride = cols rounded up to 32
 * A row with a NaN or an infinity gets the scale NaN or infinity and codes 0, so that its outputs are NaN.
 */
export function quantizeActivations(task: i32, params: usize, scratch: usize): void {
  const cols = load<i32>(params, 12);
  const stride = load<i32>(params, 16);
  const x = load<usize>(params, 0) + (<usize>task * <usize>cols << 2);
  const out = load<usize>(params, 4) + (<usize>task * <usize>stride << 1);
  let peaks = f32x4.splat(0);
  let i = 0;
  for (; i + 4 <= cols; i += 4) peaks = f32x4.max(peaks, f32x4.abs(v128.load(x + (<usize>i << 2))));
  peaks = f32x4.max(peaks, f32x4.abs(loadRest(x + (<usize>i << 2), cols - i)));
  const peak = horizontalMax(peaks);
  const isZero = peak < MIN_PEAK;
  store<f32>(load<usize>(params, 8) + (<usize>task << 2), isZero ? 0 : peak / 32767);
  const inverse = f32x4.splat(isZero ? 0 : <f32>32767 / peak);
  for (i = 0; i < stride; i += 8) {
    const p = x + (<usize>i << 2);
    const a = i + 4 <= cols ? v128.load(p) : loadRest(p, cols - i);
    const b = i + 8 <= cols ? v128.load(p, 16) : loadRest(p + 16, cols - i - 4);
    const low = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(a, inverse)));
    const high = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(b, inverse)));
    v128.store(out + (<usize>i << 1), i16x8.narrow_i32x4_s(low, high));
  }
}
