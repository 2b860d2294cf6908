/**
 * @file out = x · Wᵀ for f32, f16 and bf16 weights.
 *
 * Every output is a sum in four lanes (the order of columns within a lane depends only on the weight type), joined as (l0 + l2)
 * + (l1 + l3). This holds for any number of rows, so a prompt gives the same numbers however it is cut.
 */
import { SCRATCH_BYTES } from "../generated/limits";
import { horizontalSum, madd, transposeSumF32 } from "../simd/vector";
import { ADD, BIAS, BLOCK, N, OUT, ROWS, STRIDE, TOTAL, W, X } from "../generated/linear-params";
import { storeFour, storeOne } from "./store";
import { PIECE, pieceRecords, touch, touchEnd } from "./touch";
import { Bfloat, F16_SUM_FACTOR, first, Half, panelBytes, RECORD, recordCols, second } from "./types";

/**
 * One row of activations times a panel: four outputs. Each weight is read once, in the order of memory.
 * piece: as of `pieceRecords`; wEnd: as of `touchEnd`; sink: four bytes of scratch for `touch`
 */
// @ts-ignore: decorator
@inline function rowTimesPanel<T>(x: usize, w: usize, stride: i32, piece: usize, wEnd: usize, sink: usize): v128 {
  const end = x + (<usize>stride << 2);
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  let c = f32x4.splat(0);
  let d = f32x4.splat(0);
  const step = <usize>recordCols<T>() << 2;
  for (let p = x; p < end;) {
    const stop = min(end, p + piece * step);
    touch(w + piece * RECORD, piece * RECORD, wEnd, sink);
    for (; p < stop; p += step) {
      const x0 = v128.load(p);
      const r0 = v128.load(w);
      const r1 = v128.load(w, 16);
      const r2 = v128.load(w, 32);
      const r3 = v128.load(w, 48);
      a = madd(first<T>(r0), x0, a);
      b = madd(first<T>(r1), x0, b);
      c = madd(first<T>(r2), x0, c);
      d = madd(first<T>(r3), x0, d);
      if (!isFloat<T>()) {
        const x1 = v128.load(p, 16);
        a = madd(second<T>(r0), x1, a);
        b = madd(second<T>(r1), x1, b);
        c = madd(second<T>(r2), x1, c);
        d = madd(second<T>(r3), x1, d);
      }
      w += RECORD;
    }
  }
  return transposeSumF32(a, b, c, d);
}

// @ts-ignore: decorator
@inline function rowTimesBlock<T>(sumFactor: f32, x: usize, w: usize, stride: i32, count: i32, out: usize, bias: usize, add: bool, wEnd: usize, sink: usize): void {
  const piece = pieceRecords(RECORD, PIECE, <usize>stride / recordCols<T>(), wEnd);
  for (let r = 0; r < count; r += 4) {
    let sums = rowTimesPanel<T>(x, w, stride, piece, wEnd, sink);
    if (sumFactor != 1) sums = f32x4.mul(sums, f32x4.splat(sumFactor));
    const at = <usize>r << 2;
    storeFour(out + at, sums, bias != 0 ? bias + at : 0, add, count - r);
    w += panelBytes<T>(stride);
  }
}

/**
 * M rows of activations times two neighbouring rows of a panel; w points to the first. With M = 4 and f32, the eight sums and
 * the six vectors that a step loads just fit the registers of x86. Engines load everything of a step first, so a step must be short. One of
 * bf16 is two of these.
 */
// @ts-ignore: decorator
@inline function rowsTimesPair<T>(
  M: i32, sumFactor: f32,
  x: usize, w: usize, stride: i32, isPair: bool,
  out: usize, outPitch: usize, bias: usize, add: bool,
): void {
  const xPitch = <usize>stride << 2;
  const xEnd = x + xPitch;
  let a0 = f32x4.splat(0);
  let a1 = f32x4.splat(0);
  let b0 = f32x4.splat(0);
  let b1 = f32x4.splat(0);
  let c0 = f32x4.splat(0);
  let c1 = f32x4.splat(0);
  let d0 = f32x4.splat(0);
  let d1 = f32x4.splat(0);
  for (let p = x; p < xEnd; p += <usize>recordCols<T>() << 2) {
    const r0 = v128.load(w);
    const r1 = v128.load(w, 16);
    let w0 = first<T>(r0);
    let w1 = first<T>(r1);
    let v = v128.load(p);
    a0 = madd(v, w0, a0);
    a1 = madd(v, w1, a1);
    v = v128.load(p + xPitch);
    b0 = madd(v, w0, b0);
    b1 = madd(v, w1, b1);
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
    if (!isFloat<T>()) {
      w0 = second<T>(r0);
      w1 = second<T>(r1);
      v = v128.load(p, 16);
      a0 = madd(v, w0, a0);
      a1 = madd(v, w1, a1);
      v = v128.load(p + xPitch, 16);
      b0 = madd(v, w0, b0);
      b1 = madd(v, w1, b1);
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
    }
    w += RECORD;
  }
  storeOne(out, horizontalSum(a0) * sumFactor, bias, add);
  storeOne(out + outPitch, horizontalSum(b0) * sumFactor, bias, add);
  if (M > 2) storeOne(out + 2 * outPitch, horizontalSum(c0) * sumFactor, bias, add);
  if (M > 3) storeOne(out + 3 * outPitch, horizontalSum(d0) * sumFactor, bias, add);
  if (isPair) {
    const to = out + 4;
    const from = bias != 0 ? bias + 4 : 0;
    storeOne(to, horizontalSum(a1) * sumFactor, from, add);
    storeOne(to + outPitch, horizontalSum(b1) * sumFactor, from, add);
    if (M > 2) storeOne(to + 2 * outPitch, horizontalSum(c1) * sumFactor, from, add);
    if (M > 3) storeOne(to + 3 * outPitch, horizontalSum(d1) * sumFactor, from, add);
  }
}

// @ts-ignore: decorator
@inline function rowsTimesBlock<T>(M: i32, sumFactor: f32, x: usize, w: usize, stride: i32, count: i32,
  out: usize, outPitch: usize, bias: usize, add: bool,
): void {
  for (let r = 0; r < count; r += 2) {
    const row = w + <usize>(r >> 2) * panelBytes<T>(stride) + (<usize>(r & 2) << 4);
    const at = <usize>r << 2;
    rowsTimesPair<T>(M, sumFactor, x, row, stride, r + 1 < count, out + at, outPitch, bias != 0 ? bias + at : 0, add);
  }
}

// Functions of their own, not inlined: the engine gives the registers of a loop to that loop.

function fourRowsTimesBlock<T>(sumFactor: f32, x: usize, w: usize, stride: i32, count: i32, out: usize, outPitch: usize, bias: usize, add: bool): void {
  rowsTimesBlock<T>(4, sumFactor, x, w, stride, count, out, outPitch, bias, add);
}

function threeRowsTimesBlock<T>(sumFactor: f32, x: usize, w: usize, stride: i32, count: i32, out: usize, outPitch: usize, bias: usize, add: bool): void {
  rowsTimesBlock<T>(3, sumFactor, x, w, stride, count, out, outPitch, bias, add);
}

function twoRowsTimesBlock<T>(sumFactor: f32, x: usize, w: usize, stride: i32, count: i32, out: usize, outPitch: usize, bias: usize, add: bool): void {
  rowsTimesBlock<T>(2, sumFactor, x, w, stride, count, out, outPitch, bias, add);
}

/** Any number of rows times one block of weights. wEnd: as of `touchEnd`; sink: four bytes of scratch for `touch` */
// @ts-ignore: decorator
@inline function allRowsTimesBlock<T>(
  sumFactor: f32, x: usize, rows: i32, w: usize, stride: i32, count: i32,
  out: usize, outPitch: usize, bias: usize, add: bool, wEnd: usize, sink: usize,
): void {
  const xPitch = <usize>stride << 2;
  let m = 0;
  if (isFloat<T>() || isSigned<T>()) {
    for (; m + 4 <= rows; m += 4) {
      fourRowsTimesBlock<T>(sumFactor, x + <usize>m * xPitch, w, stride, count, out + <usize>m * outPitch, outPitch, bias, add);
    }
    if (rows - m == 3) {
      threeRowsTimesBlock<T>(sumFactor, x + <usize>m * xPitch, w, stride, count, out + <usize>m * outPitch, outPitch, bias, add);
      m += 3;
    }
  }
  for (; m + 2 <= rows; m += 2) {
    twoRowsTimesBlock<T>(sumFactor, x + <usize>m * xPitch, w, stride, count, out + <usize>m * outPitch, outPitch, bias, add);
  }
  if (m < rows) {
    rowTimesBlock<T>(sumFactor, x + <usize>m * xPitch, w, stride, count, out + <usize>m * outPitch, bias, add, wEnd, sink);
  }
}

/**
 * Converts panels of a 16-bit type to f32 panels; each eight columns are in the order of `first` and `second`.
 * wEnd, sink: as of `rowTimesPanel`
 */
// @ts-ignore: decorator
@inline function unpackPanels<T>(w: usize, bytes: usize, to: usize, wEnd: usize, sink: usize): void {
  const piece = pieceRecords(RECORD, PIECE, bytes / RECORD, wEnd) * RECORD;
  for (const end = w + bytes; w < end;) {
    const stop = min(end, w + piece);
    touch(w + piece, piece, wEnd, sink);
    for (; w < stop; w += RECORD) {
      for (let row: usize = 0; row < RECORD; row += 16) {
        const raw = v128.load(w + row);
        v128.store(to + row, first<T>(raw));
        v128.store(to + row, second<T>(raw), 64);
      }
      to += 2 * RECORD;
    }
  }
}

/** Scratch memory for unpacked weights; `BLOCK` is chosen so that they fit when there are many rows. */
const UNPACK_BYTES: usize = 384 * 1024;
/** Up to so many rows, widening bf16 in every four rows' registers takes less time than through memory once. */
const DIRECT_BFLOAT_ROWS: i32 = 8;
/** The last bytes of scratch are for `touch`. */
const SINK_BYTES: usize = 16;

// @ts-ignore: decorator
@inline function dense<T>(task: i32, params: usize, scratch: usize): void {
  if (UNPACK_BYTES + SINK_BYTES > SCRATCH_BYTES) ERROR("matrix products need more scratch than SCRATCH_BYTES of src/backends/parameters/attention.ts");
  const n = load<i32>(params, N);
  const stride = load<i32>(params, STRIDE);
  const rows = load<i32>(params, ROWS);
  const block = load<i32>(params, BLOCK);
  const start = task * block;
  const count = min(block, n - start);
  const x = load<usize>(params, X);
  const w = load<usize>(params, W) + <usize>(start >> 2) * panelBytes<T>(stride);
  const wEnd = touchEnd(params, <usize>((n + 3) >> 2) * panelBytes<T>(stride));
  const sink = scratch + SCRATCH_BYTES - SINK_BYTES;
  const out = load<usize>(params, OUT) + (<usize>start << 2);
  const outPitch = <usize>load<i32>(params, TOTAL) << 2;
  let bias = load<usize>(params, BIAS);
  if (bias != 0) bias += <usize>start << 2;
  const add = load<i32>(params, ADD) != 0;
  if (isFloat<T>()) {
    allRowsTimesBlock<f32>(1, x, rows, w, stride, count, out, outPitch, bias, add, wEnd, sink);
    return;
  }
  const sumFactor: f32 = isSigned<T>() ? 1 : F16_SUM_FACTOR;
  const packed = <usize>((count + 3) >> 2) * panelBytes<T>(stride);
  if (rows > (isSigned<T>() ? DIRECT_BFLOAT_ROWS : 2) && packed * 2 <= UNPACK_BYTES) {
    unpackPanels<T>(w, packed, scratch, wEnd, sink);
    allRowsTimesBlock<f32>(sumFactor, x, rows, scratch, stride, count, out, outPitch, bias, add, 0, sink);
  } else {
    allRowsTimesBlock<T>(sumFactor, x, rows, w, stride, count, out, outPitch, bias, add, wEnd, sink);
  }
}

export function linearF32(task: i32, params: usize, scratch: usize): void {
  dense<f32>(task, params, scratch);
}

export function linearF16(task: i32, params: usize, scratch: usize): void {
  dense<Half>(task, params, scratch);
}

export function linearBf16(task: i32, params: usize, scratch: usize): void {
  dense<Bfloat>(task, params, scratch);
}
