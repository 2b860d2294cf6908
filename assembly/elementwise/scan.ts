/**
 * @file The scan of state space layers (Mamba): for each head h = exp(−dt · exp(A)) · h + dt · x ⊗ B and y = h · C + D · x, row after row.
 *
 * Rows are added one after the other, however many there are, so a prompt leaves the same bits as its tokens one by one. What many rows
 * save is that a vector of states is loaded and stored once for four of them.
 */
import {
  B, BLOCK, BLOCKS, C, HEAD_DIM, IS_PER_STATE, MAX_STEP, MIN_STEP, NUM_GROUPS, NUM_HEADS, OUT, PARAMETERS, SPAN_BEFORE, SPAN_BYTES,
  SPAN_FIRST, SPAN_FIRST_END, SPAN_ROW, SPAN_SECOND, SPAN_SECOND_END, SPANS, STATE_SIZE, STEP_STRIDE, STEPS, VECTOR_STRIDE, X,
  X_STRIDE,
} from "../generated/scan-params";
import { softplus } from "../simd/softplus";
import { exp, expOne, horizontalSum, madd } from "../simd/vector";

/** One vector of states goes on by a row. returns: the new states */
// @ts-ignore: decorator
@inline function next(states: v128, decay: v128, x: v128, b: usize): v128 {
  return madd(x, v128.load(b), f32x4.mul(states, decay));
}

/** `from` and `to` hold the states of a coordinate; b and c are those of the first of four rows, `stride` bytes apart. */
function fourRows(
  from: usize, to: usize, bytes: usize, b: usize, c: usize, stride: usize,
  decay0: f32, decay1: f32, decay2: f32, decay3: f32, x0: f32, x1: f32, x2: f32, x3: f32,
): v128 {
  const a0 = f32x4.splat(decay0), a1 = f32x4.splat(decay1), a2 = f32x4.splat(decay2), a3 = f32x4.splat(decay3);
  const v0 = f32x4.splat(x0), v1 = f32x4.splat(x1), v2 = f32x4.splat(x2), v3 = f32x4.splat(x3);
  let y0 = f32x4.splat(0), y1 = f32x4.splat(0), y2 = f32x4.splat(0), y3 = f32x4.splat(0);
  const vectorBytes = bytes & ~15;
  const b1 = b + stride, b2 = b1 + stride, b3 = b2 + stride, c1 = c + stride, c2 = c1 + stride, c3 = c2 + stride;
  for (let i: usize = 0; i < vectorBytes; i += 16) {
    let h = next(v128.load(from + i), a0, v0, b + i);
    y0 = madd(h, v128.load(c + i), y0);
    h = next(h, a1, v1, b1 + i);
    y1 = madd(h, v128.load(c1 + i), y1);
    h = next(h, a2, v2, b2 + i);
    y2 = madd(h, v128.load(c2 + i), y2);
    h = next(h, a3, v3, b3 + i);
    y3 = madd(h, v128.load(c3 + i), y3);
    v128.store(to + i, h);
  }
  let s0 = horizontalSum(y0), s1 = horizontalSum(y1), s2 = horizontalSum(y2), s3 = horizontalSum(y3);
  for (let i = vectorBytes; i < bytes; i += 4) {
    let h = load<f32>(from + i) * decay0 + x0 * load<f32>(b + i);
    s0 += h * load<f32>(c + i);
    h = h * decay1 + x1 * load<f32>(b1 + i);
    s1 += h * load<f32>(c1 + i);
    h = h * decay2 + x2 * load<f32>(b2 + i);
    s2 += h * load<f32>(c2 + i);
    h = h * decay3 + x3 * load<f32>(b3 + i);
    s3 += h * load<f32>(c3 + i);
    store<f32>(to + i, h);
  }
  return f32x4.replace_lane(f32x4.replace_lane(f32x4.replace_lane(f32x4.splat(s0), 1, s1), 2, s2), 3, s3);
}

/** The same for one row, with the same bits. */
function oneRow(from: usize, to: usize, bytes: usize, b: usize, c: usize, decay: f32, x: f32): f32 {
  const a = f32x4.splat(decay), v = f32x4.splat(x);
  let y = f32x4.splat(0);
  const vectorBytes = bytes & ~15;
  for (let i: usize = 0; i < vectorBytes; i += 16) {
    const h = next(v128.load(from + i), a, v, b + i);
    y = madd(h, v128.load(c + i), y);
    v128.store(to + i, h);
  }
  let sum = horizontalSum(y);
  for (let i = vectorBytes; i < bytes; i += 4) {
    const h = load<f32>(from + i) * decay + x * load<f32>(b + i);
    sum += h * load<f32>(c + i);
    store<f32>(to + i, h);
  }
  return sum;
}

/** One row where every state has a decay of its own (Mamba 1). logs: ln of the rates */
function oneRowPerState(from: usize, to: usize, bytes: usize, b: usize, c: usize, logs: usize, step: f32, x: f32): f32 {
  const v = f32x4.splat(x), steps = f32x4.splat(-step);
  let y = f32x4.splat(0);
  const vectorBytes = bytes & ~15;
  for (let i: usize = 0; i < vectorBytes; i += 16) {
    const decay = exp(f32x4.mul(steps, exp(v128.load(logs + i))));
    const h = next(v128.load(from + i), decay, v, b + i);
    y = madd(h, v128.load(c + i), y);
    v128.store(to + i, h);
  }
  let sum = horizontalSum(y);
  for (let i = vectorBytes; i < bytes; i += 4) {
    const h = load<f32>(from + i) * expOne(-step * expOne(load<f32>(logs + i))) + x * load<f32>(b + i);
    sum += h * load<f32>(c + i);
    store<f32>(to + i, h);
  }
  return sum;
}

// @ts-ignore: decorator
@inline function stepOf(params: usize, head: i32, row: i32, bias: f32): f32 {
  const at = <usize>load<u32>(params, STEPS) + (<usize>row * load<u32>(params, STEP_STRIDE) + head << 2);
  return min<f32>(max<f32>(softplus(load<f32>(at) + bias), load<f32>(params, MIN_STEP)), load<f32>(params, MAX_STEP));
}

/** Rows [first, first + rows) of a head. before, after: addresses of the states of all heads; before: 0 for zeros */
function scanHead(params: usize, head: i32, first: i32, rows: i32, before: usize, after: usize): void {
  const headDim = load<i32>(params, HEAD_DIM), stateSize = load<i32>(params, STATE_SIZE);
  const numHeads = load<i32>(params, NUM_HEADS), numGroups = load<i32>(params, NUM_GROUPS);
  const bytes = <usize>stateSize << 2, headBytes = <usize>headDim * bytes;
  const inner = <usize>(numHeads * headDim) << 2;
  const xStride = <usize>load<u32>(params, X_STRIDE) << 2;
  const group = head / (numHeads / numGroups);
  const isPerState = load<u32>(params, IS_PER_STATE) != 0;
  // ln of the rates, then D, then the biases of the steps.
  const logs = <usize>load<u32>(params, PARAMETERS);
  const skips = logs + (<usize>(isPerState ? numHeads * stateSize : numHeads) << 2);
  const skip = load<f32>(skips + (<usize>head << 2)), bias = load<f32>(skips + (<usize>(numHeads + head) << 2));
  const rate: f32 = isPerState ? 0 : expOne(load<f32>(logs + (<usize>head << 2)));
  const to = after + <usize>head * headBytes;
  let from = before + <usize>head * headBytes;
  if (!before) {
    memory.fill(to, 0, headBytes);
    from = to;
  }
  const own = <usize>(head * headDim) << 2, stride = <usize>load<u32>(params, VECTOR_STRIDE) << 2;
  let x = <usize>load<u32>(params, X) + <usize>first * xStride + own;
  let b = <usize>load<u32>(params, B) + <usize>first * stride + <usize>group * bytes;
  let c = <usize>load<u32>(params, C) + <usize>first * stride + <usize>group * bytes;
  let out = <usize>load<u32>(params, OUT) + <usize>first * inner + own;
  for (let r = 0; r < rows;) {
    const step = stepOf(params, head, first + r, bias);
    if (!isPerState && rows - r >= 4) {
      const step1 = stepOf(params, head, first + r + 1, bias);
      const step2 = stepOf(params, head, first + r + 2, bias);
      const step3 = stepOf(params, head, first + r + 3, bias);
      const decay = expOne(-step * rate), decay1 = expOne(-step1 * rate);
      const decay2 = expOne(-step2 * rate), decay3 = expOne(-step3 * rate);
      for (let i = 0; i < headDim; i++) {
        const at = x + (<usize>i << 2), state = <usize>i * bytes, y = out + (<usize>i << 2);
        const x0 = load<f32>(at), x1 = load<f32>(at + xStride);
        const x2 = load<f32>(at + 2 * xStride), x3 = load<f32>(at + 3 * xStride);
        const sums = fourRows(
          from + state, to + state, bytes, b, c, stride,
          decay, decay1, decay2, decay3, step * x0, step1 * x1, step2 * x2, step3 * x3,
        );
        store<f32>(y, f32x4.extract_lane(sums, 0) + skip * x0);
        store<f32>(y + inner, f32x4.extract_lane(sums, 1) + skip * x1);
        store<f32>(y + 2 * inner, f32x4.extract_lane(sums, 2) + skip * x2);
        store<f32>(y + 3 * inner, f32x4.extract_lane(sums, 3) + skip * x3);
      }
      r += 4;
      x += 4 * xStride;
      b += 4 * stride;
      c += 4 * stride;
      out += 4 * inner;
    } else {
      const decay: f32 = isPerState ? 0 : expOne(-step * rate);
      for (let i = 0; i < headDim; i++) {
        const value = load<f32>(x + (<usize>i << 2)), state = <usize>i * bytes;
        const sum = isPerState
          ? oneRowPerState(from + state, to + state, bytes, b, c, logs + <usize>head * bytes, step, step * value)
          : oneRow(from + state, to + state, bytes, b, c, decay, step * value);
        store<f32>(out + (<usize>i << 2), sum + skip * value);
      }
      r++;
      x += xStride;
      b += stride;
      c += stride;
      out += inner;
    }
    from = to;
  }
}

/** A task is a block of heads of a span. */
export function scan(task: i32, params: usize, scratch: usize): void {
  const blocks = load<i32>(params, BLOCKS), block = load<i32>(params, BLOCK);
  const span = <usize>load<u32>(params, SPANS) + <usize>(task / blocks) * SPAN_BYTES;
  const firstHead = (task % blocks) * block, endHead = min(load<i32>(params, NUM_HEADS), firstHead + block);
  const row = load<i32>(span, SPAN_ROW), firstEnd = load<i32>(span, SPAN_FIRST_END), secondEnd = load<i32>(span, SPAN_SECOND_END);
  const before = <usize>load<u32>(span, SPAN_BEFORE), first = <usize>load<u32>(span, SPAN_FIRST);
  const second = <usize>load<u32>(span, SPAN_SECOND);
  for (let head = firstHead; head < endHead; head++) {
    scanHead(params, head, row, firstEnd, before, first);
    if (secondEnd) scanHead(params, head, row + firstEnd, secondEnd - firstEnd, first, second);
  }
}
