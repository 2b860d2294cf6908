/** @file Groups of 32 values of a checkpoint's rows: where they lie, and their values as f32 in scratch. */
import { BF16, F16, F32, FIRST_BLOCKS } from "../generated/weight-types";
import { loadHalf, roundToInt } from "../simd/vector";
import { isSuper, unpackGroup } from "./blocks";

// @ts-ignore: decorator
@inline export function loadAs(dtype: i32, p: usize, i: i32): f32 {
  if (dtype == F32) return load<f32>(p + (<usize>i << 2));
  if (dtype == F16) return loadHalf(p + (<usize>i << 1));
  return reinterpret<f32>(<u32>load<u16>(p + (<usize>i << 1)) << 16);
}

/** Plain numbers from this magnitude on are NaN or infinite: `loadHalf` reads those of f16 as 2^16 and more. */
// @ts-ignore: decorator
@inline export function limitOf(dtype: i32): f32 {
  return dtype == F16 ? 65536 : Infinity;
}

/** The block of `bytes` bytes that holds column g of a row. */
// @ts-ignore: decorator
@inline export function blockAt(dtype: i32, from: usize, g: i32, bytes: usize): usize {
  return from + <usize>(isSuper(dtype) ? g >> 8 : g >> 5) * bytes;
}

/** Which 32 values of that block begin at column g. */
// @ts-ignore: decorator
@inline export function groupAt(dtype: i32, g: i32): i32 {
  return isSuper(dtype) ? (g >> 5) & 7 : 0;
}

/** Four source values at column i (all inside the row). */
// @ts-ignore: decorator
@inline function loadFour(dtype: i32, p: usize, i: i32): v128 {
  if (dtype == F32) return v128.load(p + (<usize>i << 2));
  if (dtype == BF16) return i32x4.shl(i32x4.extend_low_i16x8_u(v128.load_zero<u64>(p + (<usize>i << 1))), 16);
  return f32x4(loadAs(F16, p, i), loadAs(F16, p, i + 1), loadAs(F16, p, i + 2), loadAs(F16, p, i + 3));
}

/** The same with zeros from `cols` on. */
// @ts-ignore: decorator
@inline function loadTail(dtype: i32, p: usize, i: i32, cols: i32): v128 {
  if (i + 4 <= cols) return loadFour(dtype, p, i);
  return f32x4(
    i < cols ? loadAs(dtype, p, i) : 0,
    i + 1 < cols ? loadAs(dtype, p, i + 1) : 0,
    i + 2 < cols ? loadAs(dtype, p, i + 2) : 0,
    0,
  );
}

/** Puts 32 values at column i of a row in scratch, zeros from `cols` on; returns the largest magnitude. */
// @ts-ignore: decorator
@inline function loadGroup(dtype: i32, from: usize, g: i32, cols: i32, scratch: usize): f32 {
  let peaks = f32x4.splat(0);
  for (let i = 0; i < 32; i += 4) {
    const v = loadTail(dtype, from, g + i, cols);
    v128.store(scratch + (<usize>i << 2), v);
    peaks = f32x4.max(peaks, f32x4.abs(v));
  }
  const halves = f32x4.max(peaks, v128.shuffle<u32>(peaks, peaks, 2, 3, 0, 1));
  return max<f32>(f32x4.extract_lane(halves, 0), f32x4.extract_lane(halves, 1));
}

/** The same of ggml's blocks. */
// @ts-ignore: decorator
@inline function loadBlockGroup(dtype: i32, from: usize, g: i32, bytes: usize, scratch: usize): f32 {
  unpackGroup(dtype, blockAt(dtype, from, g, bytes), groupAt(dtype, g), scratch);
  let peaks = f32x4.abs(v128.load(scratch));
  for (let i: usize = 16; i < 128; i += 16) peaks = f32x4.max(peaks, f32x4.abs(v128.load(scratch + i)));
  const halves = f32x4.max(peaks, v128.shuffle<u32>(peaks, peaks, 2, 3, 0, 1));
  return max<f32>(f32x4.extract_lane(halves, 0), f32x4.extract_lane(halves, 1));
}

/** 127 over the largest magnitude of a group; 0 where it has none, or none that a number could be divided by. */
// @ts-ignore: decorator
@inline export function inverseOf(peak: f32): v128 {
  const inverse = <f32>127 / peak;
  return f32x4.splat(inverse == Infinity ? 0 : inverse);
}

/** Sixteen values as int8: nearest even. */
// @ts-ignore: decorator
@inline export function narrowed(a: v128, b: v128, c: v128, d: v128): v128 {
  const low = i16x8.narrow_i32x4_s(roundToInt(a), roundToInt(b));
  return i8x16.narrow_i16x8_s(low, i16x8.narrow_i32x4_s(roundToInt(c), roundToInt(d)));
}

/** Sixteen values from p on, times `inverse`, as int8: nearest even. */
// @ts-ignore: decorator
@inline export function nearestCodes(p: usize, inverse: v128): v128 {
  return narrowed(
    f32x4.mul(v128.load(p), inverse),
    f32x4.mul(v128.load(p, 16), inverse),
    f32x4.mul(v128.load(p, 32), inverse),
    f32x4.mul(v128.load(p, 48), inverse),
  );
}

/** Puts the 32 values at column g of a row in scratch, zeros from `cols` on; returns the largest magnitude. bytes: of a block */
// @ts-ignore: decorator
@inline export function peakOfGroup(dtype: i32, from: usize, g: i32, cols: i32, bytes: usize, scratch: usize): f32 {
  return dtype >= FIRST_BLOCKS
    ? loadBlockGroup(dtype, from, g, bytes, scratch)
    : loadGroup(dtype, from, g, cols, scratch);
}

/** Columns that the row does not have repeat its last one, so that they widen no range. count: of those that it has */
// @ts-ignore: decorator
@inline export function repeatLast(scratch: usize, count: i32): void {
  for (let i = count; i < 32; i++) store<f32>(scratch + (<usize>i << 2), load<f32>(scratch + (<usize>(count - 1) << 2)));
}
