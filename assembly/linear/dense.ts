/**
 * @file out = x · Wᵀ for f32, f16 and bf16 weights.
 *
 * Every output is a sum in four lanes (the order of columns within a lane depends on the weight type only) and then
 * (l0 + l2) + (l1 + l3). That holds for one row and for many, so a prompt gives the same numbers however it is cut.
 */
import { horizontalSum, madd, transposeSumF32 } from "../simd/vector";
import { ADD, BIAS, BLOCK, N, OUT, ROWS, STRIDE, W, X } from "./params";
import { storeFour, storeOne } from "./store";
import { BF16, bytesOf8, F16, F32, first, second } from "./types";

/** One row of activations, four rows of weights at a time: each weight is read once, from memory. */
// @ts-ignore: decorator
@inline function rowTimesBlock(TYPE: i32, x: usize, w: usize, pitch: usize, stride: i32, count: i32, out: usize, bias: usize, add: bool): void {
  const xEnd = x + (<usize>stride << 2);
  for (let r = 0; r < count; r += 4) {
    // Past the last row the same row is read again and its result dropped.
    const last = count - 1 - r;
    let p0 = w + <usize>r * pitch;
    let p1 = p0 + <usize>min(1, last) * pitch;
    let p2 = p0 + <usize>min(2, last) * pitch;
    let p3 = p0 + <usize>min(3, last) * pitch;
    let a = f32x4.splat(0);
    let b = f32x4.splat(0);
    let c = f32x4.splat(0);
    let d = f32x4.splat(0);
    for (let p = x; p < xEnd; p += 32) {
      const x0 = v128.load(p);
      const x1 = v128.load(p, 16);
      const r0 = v128.load(p0);
      const r1 = v128.load(p1);
      const r2 = v128.load(p2);
      const r3 = v128.load(p3);
      a = madd(first(TYPE, r0), x0, a);
      b = madd(first(TYPE, r1), x0, b);
      c = madd(first(TYPE, r2), x0, c);
      d = madd(first(TYPE, r3), x0, d);
      a = madd(second(TYPE, r0, p0), x1, a);
      b = madd(second(TYPE, r1, p1), x1, b);
      c = madd(second(TYPE, r2, p2), x1, c);
      d = madd(second(TYPE, r3, p3), x1, d);
      p0 += bytesOf8(TYPE);
      p1 += bytesOf8(TYPE);
      p2 += bytesOf8(TYPE);
      p3 += bytesOf8(TYPE);
    }
    const at = <usize>r << 2;
    storeFour(out + at, transposeSumF32(a, b, c, d), bias != 0 ? bias + at : 0, add, count - r);
  }
}

/** M rows of activations (`xPitch` bytes apart) and two rows of weights at a time. */
// @ts-ignore: decorator
@inline function rowsTimesBlock(
  TYPE: i32, M: i32,
  x: usize, w: usize, pitch: usize, stride: i32, count: i32,
  out: usize, outPitch: usize, bias: usize, add: bool,
): void {
  const xPitch = <usize>stride << 2;
  const xEnd = x + xPitch;
  for (let r = 0; r < count; r += 2) {
    let p0 = w + <usize>r * pitch;
    let p1 = r + 1 < count ? p0 + pitch : p0;
    let a0 = f32x4.splat(0);
    let a1 = f32x4.splat(0);
    let b0 = f32x4.splat(0);
    let b1 = f32x4.splat(0);
    let c0 = f32x4.splat(0);
    let c1 = f32x4.splat(0);
    let d0 = f32x4.splat(0);
    let d1 = f32x4.splat(0);
    for (let p = x; p < xEnd; p += 32) {
      const r0 = v128.load(p0);
      const r1 = v128.load(p1);
      let w0 = first(TYPE, r0);
      let w1 = first(TYPE, r1);
      let v = v128.load(p);
      a0 = madd(v, w0, a0);
      a1 = madd(v, w1, a1);
      if (M > 1) {
        v = v128.load(p + xPitch);
        b0 = madd(v, w0, b0);
        b1 = madd(v, w1, b1);
      }
      if (M > 2) {
        v = v128.load(p + 2 * xPitch);
        c0 = madd(v, w0, c0);
        c1 = madd(v, w1, c1);
      }
      if (M > 3) {
        v = v128.load(p + 3 * xPitch);
        d0 = madd(v, w0, d0);
        d1 = madd(v, w1, d1);
      }
      w0 = second(TYPE, r0, p0);
      w1 = second(TYPE, r1, p1);
      v = v128.load(p, 16);
      a0 = madd(v, w0, a0);
      a1 = madd(v, w1, a1);
      if (M > 1) {
        v = v128.load(p + xPitch, 16);
        b0 = madd(v, w0, b0);
        b1 = madd(v, w1, b1);
      }
      if (M > 2) {
        v = v128.load(p + 2 * xPitch, 16);
        c0 = madd(v, w0, c0);
        c1 = madd(v, w1, c1);
      }
      if (M > 3) {
        v = v128.load(p + 3 * xPitch, 16);
        d0 = madd(v, w0, d0);
        d1 = madd(v, w1, d1);
      }
      p0 += bytesOf8(TYPE);
      p1 += bytesOf8(TYPE);
    }
    let o = out + (<usize>r << 2);
    let q = bias != 0 ? bias + (<usize>r << 2) : 0;
    storeOne(o, horizontalSum(a0), q, add);
    if (M > 1) storeOne(o + outPitch, horizontalSum(b0), q, add);
    if (M > 2) storeOne(o + 2 * outPitch, horizontalSum(c0), q, add);
    if (M > 3) storeOne(o + 3 * outPitch, horizontalSum(d0), q, add);
    if (r + 1 < count) {
      o += 4;
      q = bias != 0 ? q + 4 : 0;
      storeOne(o, horizontalSum(a1), q, add);
      if (M > 1) storeOne(o + outPitch, horizontalSum(b1), q, add);
      if (M > 2) storeOne(o + 2 * outPitch, horizontalSum(c1), q, add);
      if (M > 3) storeOne(o + 3 * outPitch, horizontalSum(d1), q, add);
    }
  }
}

/** Any number of rows against one block of weights. */
// @ts-ignore: decorator
@inline function allRowsTimesBlock(
  TYPE: i32, x: usize, rows: i32, w: usize, pitch: usize, stride: i32, count: i32,
  out: usize, outPitch: usize, bias: usize, add: bool,
): void {
  const xPitch = <usize>stride << 2;
  let m = 0;
  for (; m + 4 <= rows; m += 4) {
    rowsTimesBlock(TYPE, 4, x + <usize>m * xPitch, w, pitch, stride, count, out + <usize>m * outPitch, outPitch, bias, add);
  }
  const at = x + <usize>m * xPitch;
  const to = out + <usize>m * outPitch;
  if (rows - m == 3) rowsTimesBlock(TYPE, 3, at, w, pitch, stride, count, to, outPitch, bias, add);
  else if (rows - m == 2) rowsTimesBlock(TYPE, 2, at, w, pitch, stride, count, to, outPitch, bias, add);
  else if (rows - m == 1) rowTimesBlock(TYPE, at, w, pitch, stride, count, to, bias, add);
}

/** `count` weight rows as f32, in the order of `first`/`second`. */
// @ts-ignore: decorator
@inline function unpackBlock(TYPE: i32, w: usize, count: i32, stride: i32, to: usize): void {
  const end = w + <usize>count * <usize>stride * 2;
  for (let p = w; p < end; p += 16) {
    const raw = v128.load(p);
    v128.store(to, first(TYPE, raw));
    v128.store(to, second(TYPE, raw, p), 16);
    to += 32;
  }
}

/** Bytes of scratch that unpacked weights may take; `BLOCK` is chosen so that they fit when there are many rows. */
const UNPACK_BYTES: usize = 384 * 1024;

// @ts-ignore: decorator
@inline function dense(TYPE: i32, task: i32, params: usize, scratch: usize): void {
  const n = load<i32>(params, N);
  const stride = load<i32>(params, STRIDE);
  const rows = load<i32>(params, ROWS);
  const block = load<i32>(params, BLOCK);
  const start = task * block;
  const count = min(block, n - start);
  const pitch = (<usize>stride >> 3) * bytesOf8(TYPE);
  const x = load<usize>(params, X);
  const w = load<usize>(params, W) + <usize>start * pitch;
  const out = load<usize>(params, OUT) + (<usize>start << 2);
  const outPitch = <usize>n << 2;
  let bias = load<usize>(params, BIAS);
  if (bias != 0) bias += <usize>start << 2;
  const add = load<i32>(params, ADD) != 0;
  const floatBytes = <usize>count * <usize>stride << 2;
  if (TYPE != F32 && rows > 4 && floatBytes <= UNPACK_BYTES) {
    unpackBlock(TYPE, w, count, stride, scratch);
    allRowsTimesBlock(F32, x, rows, scratch, <usize>stride << 2, stride, count, out, outPitch, bias, add);
  } else {
    allRowsTimesBlock(TYPE, x, rows, w, pitch, stride, count, out, outPitch, bias, add);
  }
}

export function linearF32(task: i32, params: usize, scratch: usize): void {
  dense(F32, task, params, scratch);
}

export function linearF16(task: i32, params: usize, scratch: usize): void {
  dense(F16, task, params, scratch);
}

export function linearBf16(task: i32, params: usize, scratch: usize): void {
  dense(BF16, task, params, scratch);
}
