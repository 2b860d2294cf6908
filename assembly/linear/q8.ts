/**
 * @file out = x · Wᵀ for q8 weights: int8 in groups of 32 along a row with an f32 scale each; activations are int16.
 *
 * Weights lie in panels of four rows, so that one row of activations reads one stream:
 * [ceil(n/4)][stride/32] records of {f32 scale[4], int8 code[4][32]}, 144 bytes.
 * A group's products are summed exactly in i32 (32 · 127 · 32767 < 2³¹), four lanes; lanes become f32 times the scale
 * and are summed over the groups in order, then (l0 + l2) + (l1 + l3), times the scale of the activations. One row and
 * many give the same bits.
 */
import { horizontalSum, madd, transposeSumF32 } from "../simd/vector";
import { ADD, BIAS, BLOCK, N, OUT, ROWS, STRIDE, W, X, X_SCALE } from "./params";
import { storeFour, storeOne } from "./store";

export const Q8_RECORD: usize = 144;

/** One group: 32 int8 at p against 32 int16 in four vectors. */
// @ts-ignore: decorator
@inline function dotGroup(p: usize, x0: v128, x1: v128, x2: v128, x3: v128): v128 {
  const a = i32x4.add(
    i32x4.dot_i16x8_s(v128.load_ext<i8>(p), x0),
    i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 8), x1),
  );
  const b = i32x4.add(
    i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 16), x2),
    i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 24), x3),
  );
  return f32x4.convert_i32x4_s(i32x4.add(a, b));
}

/** One row of activations against one panel: the four outputs, without the scale of the activations. */
// @ts-ignore: decorator
@inline function rowTimesPanel(x: usize, record: usize, stride: i32): v128 {
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  let c = f32x4.splat(0);
  let d = f32x4.splat(0);
  const end = x + (<usize>stride << 1);
  for (let p = x; p < end; p += 64) {
    const x0 = v128.load(p);
    const x1 = v128.load(p, 16);
    const x2 = v128.load(p, 32);
    const x3 = v128.load(p, 48);
    a = madd(dotGroup(record + 16, x0, x1, x2, x3), v128.load_splat<f32>(record), a);
    b = madd(dotGroup(record + 48, x0, x1, x2, x3), v128.load_splat<f32>(record, 4), b);
    c = madd(dotGroup(record + 80, x0, x1, x2, x3), v128.load_splat<f32>(record, 8), c);
    d = madd(dotGroup(record + 112, x0, x1, x2, x3), v128.load_splat<f32>(record, 12), d);
    record += Q8_RECORD;
  }
  return transposeSumF32(a, b, c, d);
}

/** int16 row at p against a group held in registers. */
// @ts-ignore: decorator
@inline function dotHeld(p: usize, w0: v128, w1: v128, w2: v128, w3: v128): v128 {
  const a = i32x4.add(i32x4.dot_i16x8_s(v128.load(p), w0), i32x4.dot_i16x8_s(v128.load(p, 16), w1));
  const b = i32x4.add(i32x4.dot_i16x8_s(v128.load(p, 32), w2), i32x4.dot_i16x8_s(v128.load(p, 48), w3));
  return f32x4.convert_i32x4_s(i32x4.add(a, b));
}

/** M (2–4) rows of activations against row `lane` of a panel: [row 0, row 1, row 2, row 3]. */
// @ts-ignore: decorator
@inline function rowsTimesLane(M: i32, x: usize, record: usize, lane: i32, stride: i32): v128 {
  const pitch = <usize>stride << 1;
  let scale = record + (<usize>lane << 2);
  let w = record + 16 + (<usize>lane << 5);
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  let c = f32x4.splat(0);
  let d = f32x4.splat(0);
  const end = x + pitch;
  for (let p = x; p < end; p += 64) {
    const w0 = v128.load_ext<i8>(w);
    const w1 = v128.load_ext<i8>(w, 8);
    const w2 = v128.load_ext<i8>(w, 16);
    const w3 = v128.load_ext<i8>(w, 24);
    const s = v128.load_splat<f32>(scale);
    a = madd(dotHeld(p, w0, w1, w2, w3), s, a);
    b = madd(dotHeld(p + pitch, w0, w1, w2, w3), s, b);
    if (M > 2) c = madd(dotHeld(p + 2 * pitch, w0, w1, w2, w3), s, c);
    if (M > 3) d = madd(dotHeld(p + 3 * pitch, w0, w1, w2, w3), s, d);
    w += Q8_RECORD;
    scale += Q8_RECORD;
  }
  return transposeSumF32(a, b, c, d);
}

// @ts-ignore: decorator
@inline function rowsTimesBlock(
  M: i32, x: usize, xScale: usize, w: usize, stride: i32, count: i32,
  out: usize, outPitch: usize, bias: usize, add: bool,
): void {
  const panelBytes = (<usize>stride >> 5) * Q8_RECORD;
  for (let r = 0; r < count; r++) {
    const sums = rowsTimesLane(M, x, w + <usize>(r >> 2) * panelBytes, r & 3, stride);
    const to = out + (<usize>r << 2);
    const from = bias != 0 ? bias + (<usize>r << 2) : 0;
    storeOne(to, f32x4.extract_lane(sums, 0) * load<f32>(xScale), from, add);
    storeOne(to + outPitch, f32x4.extract_lane(sums, 1) * load<f32>(xScale, 4), from, add);
    if (M > 2) storeOne(to + 2 * outPitch, f32x4.extract_lane(sums, 2) * load<f32>(xScale, 8), from, add);
    if (M > 3) storeOne(to + 3 * outPitch, f32x4.extract_lane(sums, 3) * load<f32>(xScale, 12), from, add);
  }
}

export function linearQ8(task: i32, params: usize, scratch: usize): void {
  const n = load<i32>(params, N);
  const stride = load<i32>(params, STRIDE);
  const rows = load<i32>(params, ROWS);
  const block = load<i32>(params, BLOCK);
  const start = task * block;
  const count = min(block, n - start);
  const panelBytes = (<usize>stride >> 5) * Q8_RECORD;
  const x = load<usize>(params, X);
  const xScale = load<usize>(params, X_SCALE);
  const pitch = <usize>stride << 1;
  const w = load<usize>(params, W) + <usize>(start >> 2) * panelBytes;
  const out = load<usize>(params, OUT) + (<usize>start << 2);
  const outPitch = <usize>n << 2;
  let bias = load<usize>(params, BIAS);
  if (bias != 0) bias += <usize>start << 2;
  const add = load<i32>(params, ADD) != 0;

  let m = 0;
  for (; m + 4 <= rows; m += 4) {
    rowsTimesBlock(4, x + <usize>m * pitch, xScale + (<usize>m << 2), w, stride, count, out + <usize>m * outPitch, outPitch, bias, add);
  }
  const at = x + <usize>m * pitch;
  const scale = xScale + (<usize>m << 2);
  const to = out + <usize>m * outPitch;
  if (rows - m == 3) rowsTimesBlock(3, at, scale, w, stride, count, to, outPitch, bias, add);
  else if (rows - m == 2) rowsTimesBlock(2, at, scale, w, stride, count, to, outPitch, bias, add);
  else if (rows - m == 1) {
    const s = v128.load_splat<f32>(scale);
    for (let r = 0; r < count; r += 4) {
      const sums = f32x4.mul(rowTimesPanel(at, w + <usize>(r >> 2) * panelBytes, stride), s);
      storeFour(to + (<usize>r << 2), sums, bias != 0 ? bias + (<usize>r << 2) : 0, add, count - r);
    }
  }
}
