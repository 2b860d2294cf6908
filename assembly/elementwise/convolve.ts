/**
 * @file Causal convolutions of channels over the rows of a span. A task is a block of channels of a span, row after row; four
 * channels are a vector, and the inputs of the last rows go round in a ring.
 */
import {
  BIAS, BLOCK, BLOCKS, CHANNELS, DILATION, FLAG_INPUT_GATE, FLAG_OUTPUT_GATE, FLAG_SILU, FLAGS, INPUT_GATE, KERNEL, OUT, OUTPUT_GATE,
  SPANS, SPAN_BEFORE, SPAN_BYTES, SPAN_COUNT, SPAN_FIRST, SPAN_FIRST_END, SPAN_ROW, SPAN_SECOND, SPAN_SECOND_END, STRIDE, TAPS, X,
} from "../generated/convolve-params";
import { exp } from "../simd/vector";

/** Places of the ring, a power of two and more than a kernel reaches back (`MAX_REACH` of src/backends/state-ops.ts). */
const RING: i32 = 32;

// @ts-ignore: decorator
@inline function silu(x: v128): v128 {
  return f32x4.div(x, f32x4.add(f32x4.splat(1), exp(f32x4.neg(x))));
}

/** Four values from p on, or fewer: those at the end of a row are loaded one by one. */
// @ts-ignore: decorator
@inline function loadSome(p: usize, count: i32): v128 {
  if (count >= 4) return v128.load(p);
  let v = v128.load32_zero(p);
  if (count > 1) v = f32x4.replace_lane(v, 1, load<f32>(p, 4));
  if (count > 2) v = f32x4.replace_lane(v, 2, load<f32>(p, 8));
  return v;
}

// @ts-ignore: decorator
@inline function storeSome(p: usize, v: v128, count: i32): void {
  if (count >= 4) {
    v128.store(p, v);
    return;
  }
  store<f32>(p, f32x4.extract_lane(v, 0));
  if (count > 1) store<f32>(p, f32x4.extract_lane(v, 1), 4);
  if (count > 2) store<f32>(p, f32x4.extract_lane(v, 2), 8);
}

/** Copies the inputs of the last `reach` rows, of which there are n so far, to the tail of a state. */
function storeTail(tail: usize, ring: usize, n: i32, reach: i32, rowBytes: usize, count: i32): void {
  for (let i = 0; i < reach; i++) {
    storeSome(tail + <usize>i * rowBytes, v128.load(ring + (<usize>((n - reach + i) & (RING - 1)) << 4)), count);
  }
}

/** Channels [c, c + count) of a span, count ≤ 4. */
function convolveVector(p: usize, span: usize, c: i32, count: i32, scratch: usize): void {
  const taps = load<i32>(p, KERNEL), flags = load<u32>(p, FLAGS), dilation = load<i32>(p, DILATION);
  const reach = (taps - 1) * dilation;
  const rowBytes = <usize>load<u32>(p, CHANNELS) << 2, stride = <usize>load<u32>(p, STRIDE) << 2, at = <usize>c << 2;
  const weights = scratch, ring = scratch + (<usize>RING << 4);
  const from = <usize>load<u32>(p, TAPS) + at * <usize>taps;
  for (let j = 0; j < taps; j++) {
    let v = f32x4.splat(0);
    v = f32x4.replace_lane(v, 0, load<f32>(from + (<usize>j << 2)));
    if (count > 1) v = f32x4.replace_lane(v, 1, load<f32>(from + (<usize>(taps + j) << 2)));
    if (count > 2) v = f32x4.replace_lane(v, 2, load<f32>(from + (<usize>(2 * taps + j) << 2)));
    if (count > 3) v = f32x4.replace_lane(v, 3, load<f32>(from + (<usize>(3 * taps + j) << 2)));
    v128.store(weights + (<usize>j << 4), v);
  }
  const before = <usize>load<u32>(span, SPAN_BEFORE);
  for (let i = 0; i < reach; i++) {
    const v = before ? loadSome(before + <usize>i * rowBytes + at, count) : f32x4.splat(0);
    v128.store(ring + (<usize>((i - reach) & (RING - 1)) << 4), v);
  }
  const bias = <usize>load<u32>(p, BIAS);
  const initial = bias ? loadSome(bias + at, count) : f32x4.splat(0);
  const row = <usize>load<u32>(span, SPAN_ROW), rows = load<i32>(span, SPAN_COUNT);
  const firstEnd = load<i32>(span, SPAN_FIRST_END), secondEnd = load<i32>(span, SPAN_SECOND_END);
  let x = row * stride + at, out = <usize>load<u32>(p, OUT) + row * rowBytes + at;
  const input = <usize>load<u32>(p, X), inputGate = <usize>load<u32>(p, INPUT_GATE), outputGate = <usize>load<u32>(p, OUTPUT_GATE);
  for (let n = 0; n < rows; n++) {
    let u = loadSome(input + x, count);
    if (flags & FLAG_INPUT_GATE) u = f32x4.mul(u, loadSome(inputGate + x, count));
    v128.store(ring + (<usize>(n & (RING - 1)) << 4), u);
    let sum = initial;
    for (let j = 0; j < taps; j++) {
      const past = v128.load(ring + (<usize>((n - reach + j * dilation) & (RING - 1)) << 4));
      sum = f32x4.add(sum, f32x4.mul(v128.load(weights + (<usize>j << 4)), past));
    }
    if (flags & FLAG_SILU) sum = silu(sum);
    if (flags & FLAG_OUTPUT_GATE) sum = f32x4.mul(sum, loadSome(outputGate + x, count));
    storeSome(out, sum, count);
    if (n + 1 == firstEnd) storeTail(<usize>load<u32>(span, SPAN_FIRST) + at, ring, n + 1, reach, rowBytes, count);
    if (n + 1 == secondEnd) storeTail(<usize>load<u32>(span, SPAN_SECOND) + at, ring, n + 1, reach, rowBytes, count);
    x += stride;
    out += rowBytes;
  }
}

export function convolve(task: i32, p: usize, scratch: usize): void {
  const blocks = load<i32>(p, BLOCKS), block = load<i32>(p, BLOCK);
  const span = <usize>load<u32>(p, SPANS) + <usize>(task / blocks) * SPAN_BYTES;
  const first = (task % blocks) * block, end = min(load<i32>(p, CHANNELS), first + block);
  for (let c = first; c < end; c += 4) convolveVector(p, span, c, min(4, end - c), scratch);
}
