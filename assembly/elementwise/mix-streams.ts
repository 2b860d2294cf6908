/** @file Sums of the residual streams of a row. */
import { ADD, BLOCK, COEFFICIENTS, FACTOR, INPUTS, OUT, OUTPUTS, OUT_STREAMS, ROWS, STREAMS, STRIDE, WIDTH, X } from "../generated/mix-streams-params";

/** See `Ops.mixStreams`. Four columns at a time are read into the scratch of the thread, as what is written may be one of them. */
export function mixStreams(task: i32, params: usize, scratch: usize): void {
  const inputs = load<i32>(params, INPUTS), outputs = load<i32>(params, OUTPUTS), add = load<u32>(params, ADD) != 0;
  const bytes = <usize>load<u32>(params, WIDTH) << 2, vectorBytes = bytes & ~15;
  const xStride = <usize>load<u32>(params, STREAMS) * bytes, outStride = <usize>load<u32>(params, OUT_STREAMS) * bytes;
  const block = load<i32>(params, BLOCK), end = min(load<i32>(params, ROWS), (task + 1) * block);
  const coefficients = <usize>load<u32>(params, COEFFICIENTS), stride = <usize>load<u32>(params, STRIDE) << 2;
  const factor = load<f32>(params, FACTOR), factors = f32x4.splat(factor);
  for (let r = task * block; r < end; r++) {
    const x = <usize>load<u32>(params, X) + <usize>r * xStride, out = <usize>load<u32>(params, OUT) + <usize>r * outStride;
    const row = coefficients ? coefficients + <usize>r * stride : 0;
    for (let i: usize = 0; i < vectorBytes; i += 16) {
      for (let n = 0; n < inputs; n++) v128.store(scratch + (<usize>n << 4), v128.load(x + <usize>n * bytes + i));
      for (let j = 0; j < outputs; j++) {
        let sums = f32x4.splat(0);
        for (let n = 0; n < inputs; n++) {
          const v = v128.load(scratch + (<usize>n << 4));
          sums = f32x4.add(sums, row ? f32x4.mul(v128.load32_splat(row + (<usize>(j * inputs + n) << 2)), v) : v);
        }
        sums = f32x4.mul(sums, factors);
        const to = out + <usize>j * bytes + i;
        v128.store(to, add ? f32x4.add(v128.load(to), sums) : sums);
      }
    }
    for (let i = vectorBytes; i < bytes; i += 4) {
      for (let n = 0; n < inputs; n++) store<f32>(scratch + (<usize>n << 2), load<f32>(x + <usize>n * bytes + i));
      for (let j = 0; j < outputs; j++) {
        let sum: f32 = 0;
        for (let n = 0; n < inputs; n++) {
          const v = load<f32>(scratch + (<usize>n << 2));
          sum += row ? load<f32>(row + (<usize>(j * inputs + n) << 2)) * v : v;
        }
        sum *= factor;
        const to = out + <usize>j * bytes + i;
        store<f32>(to, add ? load<f32>(to) + sum : sum);
      }
    }
  }
}
