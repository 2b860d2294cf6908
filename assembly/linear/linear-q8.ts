/** @file The q8 branch of `linear` (linear.ts: parameters, order of summation): int8 weights, int16 activations. */
import { madd, transposeSumF32 } from "../simd/vector";

// 32 · 127 · 32767 < 2³¹: a group's sum is exact.

/** 32 int8 at p against 32 int16: four partial sums. */
// @ts-ignore: decorator
@inline function dotBytes(p: usize, x0: v128, x1: v128, x2: v128, x3: v128): v128 {
  const a = i32x4.add(i32x4.dot_i16x8_s(v128.load_ext<i8>(p), x0), i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 8), x1));
  const b = i32x4.add(i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 16), x2), i32x4.dot_i16x8_s(v128.load_ext<i8>(p, 24), x3));
  return f32x4.convert_i32x4_s(i32x4.add(a, b));
}

/** 32 int16 at p against 32 widened weights. */
// @ts-ignore: decorator
@inline function dotWords(p: usize, w0: v128, w1: v128, w2: v128, w3: v128): v128 {
  const a = i32x4.add(i32x4.dot_i16x8_s(v128.load(p), w0), i32x4.dot_i16x8_s(v128.load(p, 16), w1));
  const b = i32x4.add(i32x4.dot_i16x8_s(v128.load(p, 32), w2), i32x4.dot_i16x8_s(v128.load(p, 48), w3));
  return f32x4.convert_i32x4_s(i32x4.add(a, b));
}

// @ts-ignore: decorator
@inline function put(out: usize, value: f32, bias: usize, add: bool): void {
  let v = value;
  if (bias != 0) v += load<f32>(bias);
  if (add) v += load<f32>(out);
  store<f32>(out, v);
}

/** One row of x, four rows of w at a time. */
// @ts-ignore: decorator
@inline function oneRow(
  x: usize, xScale: f32, w: usize, scale: usize, stride: i32, count: i32, out: usize, bias: usize, add: bool,
): void {
  const pitch = <usize>stride;
  const scalePitch = pitch >> 3;
  const end = x + (pitch << 1);
  for (let r = 0; r < count; r += 4) {
    const last = count - 1 - r;
    let p0 = w + <usize>r * pitch;
    let p1 = p0 + <usize>min(1, last) * pitch;
    let p2 = p0 + <usize>min(2, last) * pitch;
    let p3 = p0 + <usize>min(3, last) * pitch;
    let s0 = scale + <usize>r * scalePitch;
    let s1 = s0 + <usize>min(1, last) * scalePitch;
    let s2 = s0 + <usize>min(2, last) * scalePitch;
    let s3 = s0 + <usize>min(3, last) * scalePitch;
    let a = f32x4.splat(0);
    let b = f32x4.splat(0);
    let c = f32x4.splat(0);
    let d = f32x4.splat(0);
    for (let p = x; p < end; p += 64) {
      const x0 = v128.load(p);
      const x1 = v128.load(p, 16);
      const x2 = v128.load(p, 32);
      const x3 = v128.load(p, 48);
      a = madd(dotBytes(p0, x0, x1, x2, x3), v128.load_splat<f32>(s0), a);
      b = madd(dotBytes(p1, x0, x1, x2, x3), v128.load_splat<f32>(s1), b);
      c = madd(dotBytes(p2, x0, x1, x2, x3), v128.load_splat<f32>(s2), c);
      d = madd(dotBytes(p3, x0, x1, x2, x3), v128.load_splat<f32>(s3), d);
      p0 += 32;
      p1 += 32;
      p2 += 32;
      p3 += 32;
      s0 += 4;
      s1 += 4;
      s2 += 4;
      s3 += 4;
    }
    const sums = f32x4.mul(transposeSumF32(a, b, c, d), f32x4.splat(xScale));
    const to = out + (<usize>r << 2);
    const from = bias != 0 ? bias + (<usize>r << 2) : 0;
    put(to, f32x4.extract_lane(sums, 0), from, add);
    if (last > 0) put(to + 4, f32x4.extract_lane(sums, 1), from != 0 ? from + 4 : 0, add);
    if (last > 1) put(to + 8, f32x4.extract_lane(sums, 2), from != 0 ? from + 8 : 0, add);
    if (last > 2) put(to + 12, f32x4.extract_lane(sums, 3), from != 0 ? from + 12 : 0, add);
  }
}

/** M (2–4) rows of x against one row of w at a time: its group stays in registers, widened once. */
// @ts-ignore: decorator
@inline function fewRows(
  M: i32, x: usize, xScale: usize, w: usize, scale: usize, stride: i32, count: i32,
  out: usize, outPitch: usize, bias: usize, add: bool,
): void {
  const xPitch = <usize>stride << 1;
  const end = x + xPitch;
  for (let r = 0; r < count; r++) {
    let a = f32x4.splat(0);
    let b = f32x4.splat(0);
    let c = f32x4.splat(0);
    let d = f32x4.splat(0);
    let xa = x;
    let xb = x + xPitch;
    let xc = M > 2 ? xb + xPitch : xb;
    let xd = M > 3 ? xc + xPitch : xc;
    while (xa < end) {
      const w0 = v128.load_ext<i8>(w);
      const w1 = v128.load_ext<i8>(w, 8);
      const w2 = v128.load_ext<i8>(w, 16);
      const w3 = v128.load_ext<i8>(w, 24);
      const s = v128.load_splat<f32>(scale);
      a = madd(dotWords(xa, w0, w1, w2, w3), s, a);
      b = madd(dotWords(xb, w0, w1, w2, w3), s, b);
      if (M > 2) c = madd(dotWords(xc, w0, w1, w2, w3), s, c);
      if (M > 3) d = madd(dotWords(xd, w0, w1, w2, w3), s, d);
      xa += 64;
      xb += 64;
      if (M > 2) xc += 64;
      if (M > 3) xd += 64;
      w += 32;
      scale += 4;
    }
    const sums = transposeSumF32(a, b, c, d);
    const to = out + (<usize>r << 2);
    const from = bias != 0 ? bias + (<usize>r << 2) : 0;
    put(to, f32x4.extract_lane(sums, 0) * load<f32>(xScale), from, add);
    put(to + outPitch, f32x4.extract_lane(sums, 1) * load<f32>(xScale, 4), from, add);
    if (M > 2) put(to + 2 * outPitch, f32x4.extract_lane(sums, 2) * load<f32>(xScale, 8), from, add);
    if (M > 3) put(to + 3 * outPitch, f32x4.extract_lane(sums, 3) * load<f32>(xScale, 12), from, add);
  }
}

// @ts-ignore: decorator
@inline export function linearQ8(task: i32, params: usize, outBlock: i32, rowBlock: i32): void {
  const allOut = load<i32>(params, 32);
  const stride = load<i32>(params, 36);
  const rowBlocks = (load<i32>(params, 24) + rowBlock - 1) / rowBlock;
  const firstRow = (task % rowBlocks) * rowBlock;
  let rows = min(rowBlock, load<i32>(params, 24) - firstRow);
  const start = (task / rowBlocks) * outBlock;
  const count = min(outBlock, allOut - start);
  const outPitch = <usize>allOut << 2;
  let x = load<usize>(params, 0) + <usize>firstRow * (<usize>stride << 1);
  let xScale = load<usize>(params, 4) + (<usize>firstRow << 2);
  const w = load<usize>(params, 8) + <usize>start * <usize>stride;
  const scale = load<usize>(params, 12) + <usize>start * (<usize>stride >> 3);
  let out = load<usize>(params, 20) + <usize>firstRow * outPitch + (<usize>start << 2);
  let bias = load<usize>(params, 16);
  if (bias != 0) bias += <usize>start << 2;
  const add = load<i32>(params, 44) != 0;

  while (rows >= 4) {
    fewRows(4, x, xScale, w, scale, stride, count, out, outPitch, bias, add);
    x += <usize>stride << 3;
    xScale += 16;
    out += 4 * outPitch;
    rows -= 4;
  }
  if (rows == 3) fewRows(3, x, xScale, w, scale, stride, count, out, outPitch, bias, add);
  else if (rows == 2) fewRows(2, x, xScale, w, scale, stride, count, out, outPitch, bias, add);
  else if (rows == 1) oneRow(x, load<f32>(xScale), w, scale, stride, count, out, bias, add);
}
