/** @file Norms of rows or of a part of each: RMS norm and LayerNorm, with a bias or without, in place of `out` or added to it. */
import { BIAS, BLOCK, COLS, CUTOFF, EPS, FACTOR, FLAG_ADD, FLAG_CENTER, FLAG_CUT, FLAG_PLAIN, FLAGS, GROUPS, LIKE, LIKE_STRIDE, OUT, OUT_STRIDE, ROWS, STRIDE, WEIGHT, X } from "../generated/norm-params";
import { horizontalSum } from "../simd/vector";

/** Sum of a row's values, or of their squares less `mean`. */
// @ts-ignore: decorator
@inline function sumOf(x: usize, bytes: usize, squared: bool, mean: f32): f32 {
  const vectorBytes = bytes & ~15;
  const means = f32x4.splat(mean);
  let sums = f32x4.splat(0);
  for (let i: usize = 0; i < vectorBytes; i += 16) {
    const v = f32x4.sub(v128.load(x + i), means);
    sums = f32x4.add(sums, squared ? f32x4.mul(v, v) : v);
  }
  let sum = horizontalSum(sums);
  for (let i = vectorBytes; i < bytes; i += 4) {
    const v = load<f32>(x + i) - mean;
    sum += squared ? v * v : v;
  }
  return sum;
}

/**
 * out (+)= (x − mean) / sqrt(mean((x − mean)²) + eps) · weight (+ bias); a mean of 0 without FLAG_CENTER, and no division with FLAG_PLAIN. `out` may be x.
 * What FLAG_CUT and LIKE are is said at `RowNorm`.
 */
export function norm(task: i32, params: usize, scratch: usize): void {
  const cols = load<i32>(params, COLS), flags = load<u32>(params, FLAGS);
  const bytes = <usize>cols << 2, vectorBytes = bytes & ~15, stride = <usize>load<u32>(params, STRIDE) << 2;
  const outStride = <usize>load<u32>(params, OUT_STRIDE) << 2;
  const block = load<i32>(params, BLOCK), end = min(load<i32>(params, ROWS), (task + 1) * block);
  const weights = <usize>load<u32>(params, WEIGHT), biases = <usize>load<u32>(params, BIAS), groups = load<i32>(params, GROUPS);
  const plain = (flags & FLAG_PLAIN) != 0, cut = (flags & FLAG_CUT) != 0, likes = <usize>load<u32>(params, LIKE), likeStride = <usize>load<u32>(params, LIKE_STRIDE) << 2;
  const add = (flags & FLAG_ADD) != 0, factors = <usize>load<u32>(params, FACTOR);
  const last: f32 = factors ? load<f32>(factors) : 1, lasts = f32x4.splat(last);
  for (let r = task * block; r < end; r++) {
    const own = <usize>(r % groups) * bytes, weight = weights + own, bias = biases ? biases + own : 0;
    const x = <usize>load<u32>(params, X) + <usize>r * stride;
    const out = <usize>load<u32>(params, OUT) + <usize>r * outStride;
    let mean: f32 = flags & FLAG_CENTER ? sumOf(x, bytes, false, 0) / <f32>cols : 0;
    const squares: f32 = plain ? 0 : sumOf(x, bytes, true, mean) / <f32>cols;
    let inverse: f32 = plain ? 1 : <f32>1 / sqrt<f32>(squares + load<f32>(params, EPS));
    if (likes) inverse = sqrt<f32>(sumOf(likes + <usize>r * likeStride, bytes, true, 0) / <f32>cols / max<f32>(squares, load<f32>(params, EPS)));
    if (cut) {
      mean += load<f32>(params, CUTOFF) * sqrt<f32>(squares);
      inverse = 1;
    }
    const means = f32x4.splat(mean), factor = f32x4.splat(inverse);
    for (let i: usize = 0; i < vectorBytes; i += 16) {
      let v = f32x4.mul(f32x4.sub(v128.load(x + i), means), factor);
      if (cut) v = f32x4.max(v, f32x4.splat(0));
      v = f32x4.mul(v, v128.load(weight + i));
      if (bias) v = f32x4.add(v, v128.load(bias + i));
      if (add) v = f32x4.add(v, v128.load(out + i));
      if (factors) v = f32x4.mul(v, lasts);
      v128.store(out + i, v);
    }
    for (let i = vectorBytes; i < bytes; i += 4) {
      let v = (load<f32>(x + i) - mean) * inverse;
      if (cut) v = max<f32>(v, 0);
      v *= load<f32>(weight + i);
      if (bias) v += load<f32>(bias + i);
      if (add) v += load<f32>(out + i);
      if (factors) v *= last;
      store<f32>(out + i, v);
    }
  }
}
