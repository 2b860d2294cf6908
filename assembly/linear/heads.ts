/**
 * @file Products of each head's vectors with rows of a matrix that belong to the head. A row of the matrix, of any type, is unpacked
 * once for all rows of activations of a task.
 */
import { readRow } from "../elementwise/embed";
import {
  BLOCK, COLS, COUNT, FIRST, HEAD_ROWS, INPUT_WIDTH, IS_TRANSPOSED, NUM_HEADS, OUT, OUTPUT_WIDTH, ROWS, STRIDE, TABLE, TYPE, X,
} from "../generated/heads-params";
import { SCRATCH_BYTES } from "../generated/limits";
import { horizontalSum } from "../simd/vector";

/**
 * Multiplies the vectors of one head for a block of rows. task: block · numHeads + head
 * x: f32 [row][head][INPUT_WIDTH] · out: f32 [row][head][OUTPUT_WIDTH] · COLS and the widths: multiples of 4
 *
 * Row i of the head in the matrix is HEAD_ROWS · head + FIRST + i, for i < COUNT. Without IS_TRANSPOSED, out[i] is its product with x.
 * With it, out is the sum of these rows times x[i], and the values of x behind COUNT follow as they are.
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
  if (isTransposed) {
    for (let r: usize = 0; r < n; r++) {
      memory.fill(out + r * outStride, 0, cols * 4);
      memory.copy(out + r * outStride + cols * 4, x + r * xStride + count * 4, (width - count) * 4);
    }
  }
  for (let i: usize = 0; i < count; i++) {
    readRow(load<i32>(p, TYPE), <i32>cols, load<i32>(p, STRIDE), load<u32>(p, TABLE), first + <i32>i, scratch);
    if (isTransposed) {
      for (let r: usize = 0; r < n; r++) addRow(v128.load_splat<u32>(x + r * xStride + i * 4), scratch, cols, out + r * outStride);
    } else {
      for (let r: usize = 0; r < n; r++) store<f32>(out + r * outStride + i * 4, dot(scratch, x + r * xStride, cols));
    }
  }
}

// @ts-ignore: decorator
@inline function addRow(factor: v128, row: usize, cols: usize, out: usize): void {
  for (let i: usize = 0; i < cols * 4; i += 16) v128.store(out + i, f32x4.add(v128.load(out + i), f32x4.mul(factor, v128.load(row + i))));
}

// @ts-ignore: decorator
@inline function dot(a: usize, b: usize, cols: usize): f32 {
  let s0 = f32x4.splat(0), s1 = s0;
  let i: usize = 0;
  for (; i + 32 <= cols * 4; i += 32) {
    s0 = f32x4.add(s0, f32x4.mul(v128.load(a + i), v128.load(b + i)));
    s1 = f32x4.add(s1, f32x4.mul(v128.load(a + i, 16), v128.load(b + i, 16)));
  }
  for (; i < cols * 4; i += 16) s0 = f32x4.add(s0, f32x4.mul(v128.load(a + i), v128.load(b + i)));
  return horizontalSum(f32x4.add(s0, s1));
}
