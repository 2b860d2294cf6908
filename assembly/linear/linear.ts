/**
 * @file out = x · Wᵀ with W as the checkpoint has it, row after row, or as q8 codes. Compiles on its own.
 *
 * Parameters of `linear`, 4 bytes each (src/backends/wasm/linear-params.ts writes them):
 *   0 x       f32 [rows][cols]; for q8 int16 [rows][stride], see `quantizeActivations`
 *   4 xScale  q8: f32 [rows]
 *   8 w       [outRows][cols] of f32, f16 (finite) or bf16; q8: int8 [outRows][stride], zeros from cols on
 *  12 wScale  q8: f32 [outRows][stride / 32]
 *  16 bias    f32 [outRows], or 0
 *  20 out     f32 [rows][outRows]
 *  24 rows   28 cols   32 outRows
 *  36 stride  elements of a row of w: cols, or for q8 cols rounded up to 32
 *  40 type    0 f32, 1 f16, 2 bf16, 3 q8
 *  44 add     1: out += …
 * Task t = (block of 32 outRows) · ceil(rows / 64) + (block of 64 rows).
 *
 * Summation: column c goes to lane c mod 4 of one f32x4 sum, in order, then (l0 + l2) + (l1 + l3); then bias, then the old
 * value of out. q8: the 32 products of a group are summed exactly in i32 lanes, times the group's scale, over the groups in
 * order. Every path keeps this order, so a row's result has the same bits whatever batch it is in.
 */
import { HALF_BIAS, halfHigh, halfLow, horizontalSum, loadHalf, loadHalves, madd, transposeSumF32, zipLow16 } from "../simd/vector";
import { linearQ8 } from "./linear-q8";

export { quantizeActivations } from "./quantize-activations";
export { quantizeWeights } from "./quantize-weights";

const OUT_BLOCK: i32 = 32;
const ROW_BLOCK: i32 = 64;
/** Bytes of scratch for unpacked weights: more would leave no room in a cache of 512 KiB for the activations. */
const UNPACK_BYTES: usize = 256 * 1024;

// The weight type is a type parameter, so that no branch stays in a loop: f32, u16 for f16, i16 for bf16.

// @ts-ignore: decorator
@inline function bytesOf<T>(): usize {
  return isFloat<T>() ? 4 : 2;
}

/** Columns 0–3 of the eight at p, whose first 16 bytes are `raw`. */
// @ts-ignore: decorator
@inline function low<T>(raw: v128): v128 {
  if (isFloat<T>()) return raw;
  // Zeros below: one instruction, where widening and shifting take two.
  if (isSigned<T>()) return zipLow16(i32x4.splat(0), raw);
  return f32x4.mul(halfLow(raw), f32x4.splat(HALF_BIAS));
}

/** Columns 4–7. */
// @ts-ignore: decorator
@inline function high<T>(raw: v128, p: usize): v128 {
  if (isFloat<T>()) return v128.load(p, 16);
  if (isSigned<T>()) return v128.shuffle<u16>(i32x4.splat(0), raw, 4, 12, 5, 13, 6, 14, 7, 15);
  return f32x4.mul(halfHigh(raw), f32x4.splat(HALF_BIAS));
}

/** Four columns at p. */
// @ts-ignore: decorator
@inline function four<T>(p: usize): v128 {
  if (isFloat<T>()) return v128.load(p);
  if (isSigned<T>()) return zipLow16(i32x4.splat(0), v128.load_zero<u64>(p));
  return loadHalves(p);
}

// @ts-ignore: decorator
@inline function one<T>(p: usize): f32 {
  if (isFloat<T>()) return load<f32>(p);
  if (isSigned<T>()) return reinterpret<f32>(<u32>load<u16>(p) << 16);
  return loadHalf(p);
}

/** The last `count` (1–3) columns at p, then zeros: nothing past the end is read. */
// @ts-ignore: decorator
@inline function rest<T>(p: usize, count: i32): v128 {
  let v = f32x4.replace_lane(f32x4.splat(0), 0, one<T>(p));
  if (count > 1) v = f32x4.replace_lane(v, 1, one<T>(p + bytesOf<T>()));
  if (count > 2) v = f32x4.replace_lane(v, 2, one<T>(p + 2 * bytesOf<T>()));
  return v;
}

// @ts-ignore: decorator
@inline function put(out: usize, value: f32, bias: usize, add: bool): void {
  let v = value;
  if (bias != 0) v += load<f32>(bias);
  if (add) v += load<f32>(out);
  store<f32>(out, v);
}

/** One row of x, four rows of w at a time: each weight is read once. */
// @ts-ignore: decorator
@inline function oneRow<T>(x: usize, w: usize, pitch: usize, cols: i32, count: i32, out: usize, bias: usize, add: bool): void {
  const end8 = x + (<usize>(cols & ~7) << 2);
  for (let r = 0; r < count; r += 4) {
    // Past the last row it is read again and its result dropped.
    const last = count - 1 - r;
    let p0 = w + <usize>r * pitch;
    let p1 = p0 + <usize>min(1, last) * pitch;
    let p2 = p0 + <usize>min(2, last) * pitch;
    let p3 = p0 + <usize>min(3, last) * pitch;
    let a = f32x4.splat(0);
    let b = f32x4.splat(0);
    let c = f32x4.splat(0);
    let d = f32x4.splat(0);
    let p = x;
    for (; p < end8; p += 32) {
      const x0 = v128.load(p);
      const x1 = v128.load(p, 16);
      const r0 = v128.load(p0);
      const r1 = v128.load(p1);
      const r2 = v128.load(p2);
      const r3 = v128.load(p3);
      a = madd(low<T>(r0), x0, a);
      b = madd(low<T>(r1), x0, b);
      c = madd(low<T>(r2), x0, c);
      d = madd(low<T>(r3), x0, d);
      a = madd(high<T>(r0, p0), x1, a);
      b = madd(high<T>(r1, p1), x1, b);
      c = madd(high<T>(r2, p2), x1, c);
      d = madd(high<T>(r3, p3), x1, d);
      p0 += 8 * bytesOf<T>();
      p1 += 8 * bytesOf<T>();
      p2 += 8 * bytesOf<T>();
      p3 += 8 * bytesOf<T>();
    }
    if (cols & 4) {
      const v = v128.load(p);
      a = madd(four<T>(p0), v, a);
      b = madd(four<T>(p1), v, b);
      c = madd(four<T>(p2), v, c);
      d = madd(four<T>(p3), v, d);
      p += 16;
      p0 += 4 * bytesOf<T>();
      p1 += 4 * bytesOf<T>();
      p2 += 4 * bytesOf<T>();
      p3 += 4 * bytesOf<T>();
    }
    const left = cols & 3;
    if (left != 0) {
      const v = rest<f32>(p, left);
      a = madd(rest<T>(p0, left), v, a);
      b = madd(rest<T>(p1, left), v, b);
      c = madd(rest<T>(p2, left), v, c);
      d = madd(rest<T>(p3, left), v, d);
    }
    const sums = transposeSumF32(a, b, c, d);
    const to = out + (<usize>r << 2);
    const from = bias != 0 ? bias + (<usize>r << 2) : 0;
    put(to, f32x4.extract_lane(sums, 0), from, add);
    if (last > 0) put(to + 4, f32x4.extract_lane(sums, 1), from != 0 ? from + 4 : 0, add);
    if (last > 1) put(to + 8, f32x4.extract_lane(sums, 2), from != 0 ? from + 8 : 0, add);
    if (last > 2) put(to + 12, f32x4.extract_lane(sums, 3), from != 0 ? from + 12 : 0, add);
  }
}

/** M (2–4) rows of x, two rows of w at a time: eight sums, two weights and one activation in registers. */
// @ts-ignore: decorator
@inline function fewRows<T>(
  M: i32, x: usize, w: usize, pitch: usize, cols: i32, count: i32,
  out: usize, outPitch: usize, bias: usize, add: bool,
): void {
  const xPitch = <usize>cols << 2;
  const end8 = x + (<usize>(cols & ~7) << 2);
  const left = cols & 3;
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
    let xa = x;
    let xb = x + xPitch;
    let xc = M > 2 ? xb + xPitch : xb;
    let xd = M > 3 ? xc + xPitch : xc;
    while (xa < end8) {
      const r0 = v128.load(p0);
      const r1 = v128.load(p1);
      let w0 = low<T>(r0);
      let w1 = low<T>(r1);
      let v = v128.load(xa);
      a0 = madd(w0, v, a0);
      a1 = madd(w1, v, a1);
      v = v128.load(xb);
      b0 = madd(w0, v, b0);
      b1 = madd(w1, v, b1);
      if (M > 2) {
        v = v128.load(xc);
        c0 = madd(w0, v, c0);
        c1 = madd(w1, v, c1);
      }
      if (M > 3) {
        v = v128.load(xd);
        d0 = madd(w0, v, d0);
        d1 = madd(w1, v, d1);
      }
      w0 = high<T>(r0, p0);
      w1 = high<T>(r1, p1);
      v = v128.load(xa, 16);
      a0 = madd(w0, v, a0);
      a1 = madd(w1, v, a1);
      v = v128.load(xb, 16);
      b0 = madd(w0, v, b0);
      b1 = madd(w1, v, b1);
      if (M > 2) {
        v = v128.load(xc, 16);
        c0 = madd(w0, v, c0);
        c1 = madd(w1, v, c1);
      }
      if (M > 3) {
        v = v128.load(xd, 16);
        d0 = madd(w0, v, d0);
        d1 = madd(w1, v, d1);
      }
      xa += 32;
      xb += 32;
      if (M > 2) xc += 32;
      if (M > 3) xd += 32;
      p0 += 8 * bytesOf<T>();
      p1 += 8 * bytesOf<T>();
    }
    // At most two more steps: four columns, then the last one to three.
    for (let n = cols & 7; n > 0; n -= 4) {
      const full = n >= 4;
      const w0 = full ? four<T>(p0) : rest<T>(p0, left);
      const w1 = full ? four<T>(p1) : rest<T>(p1, left);
      let v = full ? v128.load(xa) : rest<f32>(xa, left);
      a0 = madd(w0, v, a0);
      a1 = madd(w1, v, a1);
      v = full ? v128.load(xb) : rest<f32>(xb, left);
      b0 = madd(w0, v, b0);
      b1 = madd(w1, v, b1);
      if (M > 2) {
        v = full ? v128.load(xc) : rest<f32>(xc, left);
        c0 = madd(w0, v, c0);
        c1 = madd(w1, v, c1);
      }
      if (M > 3) {
        v = full ? v128.load(xd) : rest<f32>(xd, left);
        d0 = madd(w0, v, d0);
        d1 = madd(w1, v, d1);
      }
      xa += 16;
      xb += 16;
      xc += 16;
      xd += 16;
      p0 += 4 * bytesOf<T>();
      p1 += 4 * bytesOf<T>();
    }
    const to = out + (<usize>r << 2);
    const from = bias != 0 ? bias + (<usize>r << 2) : 0;
    put(to, horizontalSum(a0), from, add);
    put(to + outPitch, horizontalSum(b0), from, add);
    if (M > 2) put(to + 2 * outPitch, horizontalSum(c0), from, add);
    if (M > 3) put(to + 3 * outPitch, horizontalSum(d0), from, add);
    if (r + 1 < count) {
      const next = from != 0 ? from + 4 : 0;
      put(to + 4, horizontalSum(a1), next, add);
      put(to + 4 + outPitch, horizontalSum(b1), next, add);
      if (M > 2) put(to + 4 + 2 * outPitch, horizontalSum(c1), next, add);
      if (M > 3) put(to + 4 + 3 * outPitch, horizontalSum(d1), next, add);
    }
  }
}

/** Any number of rows of x against `count` rows of w, `pitch` bytes apart. Not inlined: one copy a type. */
function allRows<T>(
  x: usize, rows: i32, w: usize, pitch: usize, cols: i32, count: i32,
  out: usize, outPitch: usize, bias: usize, add: bool,
): void {
  const xPitch = <usize>cols << 2;
  // Four rows of x stay in the first-level cache while the block of weights passes.
  while (rows >= 4) {
    fewRows<T>(4, x, w, pitch, cols, count, out, outPitch, bias, add);
    x += 4 * xPitch;
    out += 4 * outPitch;
    rows -= 4;
  }
  if (rows == 3) fewRows<T>(3, x, w, pitch, cols, count, out, outPitch, bias, add);
  else if (rows == 2) fewRows<T>(2, x, w, pitch, cols, count, out, outPitch, bias, add);
  else if (rows == 1) oneRow<T>(x, w, pitch, cols, count, out, bias, add);
}

/** `count` rows as f32, `pitch` bytes apart. */
// @ts-ignore: decorator
@inline function unpack<T>(w: usize, cols: i32, count: i32, to: usize, pitch: usize): void {
  for (let r = 0; r < count; r++) {
    let p = to + <usize>r * pitch;
    let i = cols;
    for (; i >= 8; i -= 8) {
      const raw = v128.load(w);
      v128.store(p, low<T>(raw));
      v128.store(p, high<T>(raw, w), 16);
      w += 8 * bytesOf<T>();
      p += 32;
    }
    for (; i > 0; i--) {
      store<f32>(p, one<T>(w));
      w += bytesOf<T>();
      p += 4;
    }
  }
}

// @ts-ignore: decorator
@inline function dense<T>(task: i32, params: usize, scratch: usize): void {
  const allOut = load<i32>(params, 32);
  const cols = load<i32>(params, 28);
  const rowBlocks = (load<i32>(params, 24) + ROW_BLOCK - 1) / ROW_BLOCK;
  const firstRow = (task % rowBlocks) * ROW_BLOCK;
  const rows = min(ROW_BLOCK, load<i32>(params, 24) - firstRow);
  let start = (task / rowBlocks) * OUT_BLOCK;
  const end = min(allOut, start + OUT_BLOCK);
  const pitch = <usize>cols * bytesOf<T>();
  const outPitch = <usize>allOut << 2;
  const x = load<usize>(params, 0) + <usize>firstRow * (<usize>cols << 2);
  const w = load<usize>(params, 8);
  const out = load<usize>(params, 20) + <usize>firstRow * outPitch;
  const bias = load<usize>(params, 16);
  const add = load<i32>(params, 44) != 0;

  // Unpacking pays when each weight is used more than once; a multiple of two rows, and none if not even two fit.
  const f32Pitch = (<usize>cols + 3) / 4 * 16;
  const fits = <i32>min<usize>(<usize>OUT_BLOCK, UNPACK_BYTES / f32Pitch) & ~1;
  const isUnpacked = !isFloat<T>() && rows > 4 && fits > 0;
  const step = isUnpacked ? fits : OUT_BLOCK;
  for (; start < end; start += step) {
    const count = min(step, end - start);
    const from = w + <usize>start * pitch;
    const to = out + (<usize>start << 2);
    const biasAt = bias != 0 ? bias + (<usize>start << 2) : 0;
    if (isUnpacked) {
      unpack<T>(from, cols, count, scratch, f32Pitch);
      allRows<f32>(x, rows, scratch, f32Pitch, cols, count, to, outPitch, biasAt, add);
    } else {
      allRows<T>(x, rows, from, pitch, cols, count, to, outPitch, biasAt, add);
    }
  }
}

export function linear(task: i32, params: usize, scratch: usize): void {
  const type = load<i32>(params, 40);
  if (type == 0) dense<f32>(task, params, scratch);
  else if (type == 1) dense<u16>(task, params, scratch);
  else if (type == 2) dense<i16>(task, params, scratch);
  else linearQ8(task, params, OUT_BLOCK, ROW_BLOCK);
}
