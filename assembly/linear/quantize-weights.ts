/** @file Weights of a checkpoint to q8: int8 in groups of 32 along a row, an f32 scale each. */
import { horizontalMax, loadHalf, loadHalves } from "../simd/vector";
import { MIN_PEAK } from "./quantize-activations";

const ROWS_OF_TASK: i32 = 8;

// @ts-ignore: decorator
@inline function one(type: i32, row: usize, i: i32): f32 {
  if (type == 0) return load<f32>(row + (<usize>i << 2));
  if (type == 1) return loadHalf(row + (<usize>i << 1));
  return reinterpret<f32>(<u32>load<u16>(row + (<usize>i << 1)) << 16);
}

/** Columns i to i + 3, zeros from cols on; nothing past the end is read. */
// @ts-ignore: decorator
@inline function four(type: i32, row: usize, i: i32, cols: i32): v128 {
  if (i + 4 <= cols) {
    if (type == 0) return v128.load(row + (<usize>i << 2));
    if (type == 1) return loadHalves(row + (<usize>i << 1));
    return i32x4.shl(i32x4.extend_low_i16x8_u(v128.load_zero<u64>(row + (<usize>i << 1))), 16);
  }
  let v = f32x4.splat(0);
  if (i < cols) v = f32x4.replace_lane(v, 0, one(type, row, i));
  if (i + 1 < cols) v = f32x4.replace_lane(v, 1, one(type, row, i + 1));
  if (i + 2 < cols) v = f32x4.replace_lane(v, 2, one(type, row, i + 2));
  return v;
}

// @ts-ignore: decorator
@inline function codes(p: usize, inverse: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(p), inverse)));
}

/**
 * w ≈ code · scale, scale = max|w| / 127 over a group, code = w · (127 / max|w|) to the nearest, ties to even.
 * Task = 8 rows. Parameters, 4 bytes each:
 *   0 source [rows][cols] of `type`   4 codes int8 [rows][stride]   8 scales f32 [rows][stride / 32]
 *  12 rows   16 cols   20 stride = cols rounded up to 32   24 type: 0 f32, 1 f16 (finite), 2 bf16
 * For a part of a matrix, pass the addresses of its first row.
 */
export function quantizeWeights(task: i32, params: usize, scratch: usize): void {
  const cols = load<i32>(params, 16);
  const stride = load<i32>(params, 20);
  const type = load<i32>(params, 24);
  const end = min(load<i32>(params, 12), (task + 1) * ROWS_OF_TASK);
  for (let r = task * ROWS_OF_TASK; r < end; r++) {
    const row = load<usize>(params, 0) + <usize>r * <usize>cols * (type == 0 ? 4 : 2);
    const out = load<usize>(params, 4) + <usize>r * <usize>stride;
    const scales = load<usize>(params, 8) + <usize>r * (<usize>stride >> 3);
    for (let g = 0; g < stride; g += 32) {
      let peaks = f32x4.splat(0);
      for (let i = 0; i < 32; i += 4) {
        const v = four(type, row, g + i, cols);
        v128.store(scratch + (<usize>i << 2), v);
        peaks = f32x4.max(peaks, f32x4.abs(v));
      }
      const peak = horizontalMax(peaks);
      const isZero = peak < MIN_PEAK;
      store<f32>(scales + (<usize>g >> 3), isZero ? 0 : peak / 127);
      const inverse = f32x4.splat(isZero ? 0 : <f32>127 / peak);
      for (let i: usize = 0; i < 32; i += 16) {
        const p = scratch + (i << 2);
        const low = i16x8.narrow_i32x4_s(codes(p, inverse), codes(p + 16, inverse));
        const high = i16x8.narrow_i32x4_s(codes(p + 32, inverse), codes(p + 48, inverse));
        v128.store(out + <usize>g + i, i8x16.narrow_i16x8_s(low, high));
      }
    }
  }
}
