/**
 * @file Products of each head's vectors with rows of a matrix that belong to the head. A row of the matrix, of any type, is unpacked
 * once for all rows of activations of a task.
 */
import { readRow } from "../elementwise/embed";
import {
  BLOCK, COLS, COUNT, FIRST, HEAD_ROWS, INPUT_WIDTH, IS_TRANSPOSED, NUM_HEADS, OUT, OUTPUT_WIDTH, ROWS, STRIDE, TABLE, TYPE, X,
} from "../generated/heads-params";
import { SCRATCH_BYTES } from "../generated/limits";
import { BF16, F16, Q8 } from "../generated/weight-types";
import { HALF_BIAS, halfHigh, halfLow, horizontalSum } from "../simd/vector";
import { groupRecord } from "./grouped";
import { RECORD } from "./types";

/**
 * Multiplies the vectors of one head for a block of rows. task: block · numHeads + head
 * x: f32 [row][head][INPUT_WIDTH] · out: f32 [row][head][OUTPUT_WIDTH]
 *
 * Row i of the head in the matrix is HEAD_ROWS · head + FIRST + i, for i < COUNT. Without IS_TRANSPOSED, out[i] is its product with x.
 * With it, out is the sum of these rows times x[i]. The values of x that are not taken follow as they are.
 */
export function multiplyHeads(task: i32, p: usize, scratch: usize): void {
  const heads = <usize>load<u32>(p, NUM_HEADS), cols = <usize>load<u32>(p, COLS), count = <usize>load<u32>(p, COUNT), block = <usize>load<u32>(p, BLOCK);
  const head = <usize>task % heads, from = (<usize>task / heads) * block, n = min<usize>(block, <usize>load<u32>(p, ROWS) - from);
  const width = <usize>load<u32>(p, INPUT_WIDTH), outWidth = <usize>load<u32>(p, OUTPUT_WIDTH);
  const x = <usize>load<u32>(p, X) + (from * heads + head) * width * 4, xStride = heads * width * 4;
  const out = <usize>load<u32>(p, OUT) + (from * heads + head) * outWidth * 4, outStride = heads * outWidth * 4;
  const first = <i32>(head * <usize>load<u32>(p, HEAD_ROWS) + <usize>load<u32>(p, FIRST));
  const isTransposed = load<u32>(p, IS_TRANSPOSED) != 0;
  if (cols * 4 > SCRATCH_BYTES) return;
  const taken = isTransposed ? count : cols, made = isTransposed ? cols : count;
  for (let r: usize = 0; r < n; r++) {
    if (isTransposed) memory.fill(out + r * outStride, 0, cols * 4);
    memory.copy(out + r * outStride + made * 4, x + r * xStride + taken * 4, (width - taken) * 4);
  }
  for (let i: usize = 0; i < count; i++) {
    unpackRow(load<i32>(p, TYPE), <i32>cols, load<i32>(p, STRIDE), load<u32>(p, TABLE), first + <i32>i, scratch);
    if (isTransposed) {
      for (let r: usize = 0; r < n; r++) addRow(load<f32>(x + r * xStride + i * 4), scratch, cols, out + r * outStride);
    } else {
      for (let r: usize = 0; r < n; r++) store<f32>(out + r * outStride + i * 4, dot(scratch, x + r * xStride, cols));
    }
  }
}

/** As `readRow`, with eight columns at a time of the types that most checkpoints have; up to seven values behind the row are written too. */
function unpackRow(type: i32, cols: i32, stride: i32, table: usize, row: i32, out: usize): void {
  const end = out + (<usize>cols << 2), lane = <usize>(row & 3);
  if (type == F16 || type == BF16) {
    let from = table + <usize>(row >> 2) * <usize>stride * 8 + (lane << 4);
    const bias = f32x4.splat(HALF_BIAS);
    for (let to = out; to < end; to += 32) {
      const v = v128.load(from);
      if (type == F16) {
        v128.store(to, f32x4.mul(halfLow(v), bias));
        v128.store(to, f32x4.mul(halfHigh(v), bias), 16);
      } else {
        v128.store(to, i32x4.shl(i32x4.extend_low_i16x8_u(v), 16));
        v128.store(to, i32x4.shl(i32x4.extend_high_i16x8_u(v), 16), 16);
      }
      from += RECORD;
    }
  } else if (type == Q8) {
    const panel = table + <usize>(row >> 2) * (<usize>stride >> 5) * groupRecord<i8>();
    for (let i: usize = 0; i < <usize>cols; i += 8) {
      const record = panel + (i >> 5) * groupRecord<i8>();
      const codes = v128.load_ext<i8>(record + 16 + (lane << 5) + (i & 31)), scale = v128.load_splat<u32>(record + (lane << 2));
      v128.store(out + (i << 2), f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(codes)), scale));
      v128.store(out + (i << 2), f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(codes)), scale), 16);
    }
  } else readRow(type, cols, stride, table, row, out);
}

// @ts-ignore: decorator
@inline function addRow(factor: f32, row: usize, cols: usize, out: usize): void {
  const factors = f32x4.splat(factor);
  let i: usize = 0;
  for (; i + 16 <= cols * 4; i += 16) v128.store(out + i, f32x4.add(v128.load(out + i), f32x4.mul(factors, v128.load(row + i))));
  for (; i < cols * 4; i += 4) store<f32>(out + i, load<f32>(out + i) + factor * load<f32>(row + i));
}

// @ts-ignore: decorator
@inline function dot(a: usize, b: usize, cols: usize): f32 {
  let s0 = f32x4.splat(0), s1 = s0;
  let i: usize = 0;
  for (; i + 32 <= cols * 4; i += 32) {
    s0 = f32x4.add(s0, f32x4.mul(v128.load(a + i), v128.load(b + i)));
    s1 = f32x4.add(s1, f32x4.mul(v128.load(a + i, 16), v128.load(b + i, 16)));
  }
  for (; i + 16 <= cols * 4; i += 16) s0 = f32x4.add(s0, f32x4.mul(v128.load(a + i), v128.load(b + i)));
  let sum = horizontalSum(f32x4.add(s0, s1));
  for (; i < cols * 4; i += 4) sum += load<f32>(a + i) * load<f32>(b + i);
  return sum;
}
