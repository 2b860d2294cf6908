/** @file Root-mean-square norm of rows. */
import { BLOCK, COLS, EPS, OUT, ROWS, WEIGHT, X } from "../generated/rms-norm-params";
import { horizontalSum } from "../simd/vector";

/** out = x / sqrt(mean(x²) + eps) · weight. `out` may be x. */
export function rmsNorm(task: i32, params: usize, scratch: usize): void {
  const cols = load<i32>(params, COLS);
  const bytes = <usize>cols << 2;
  const block = load<i32>(params, BLOCK);
  const weight = load<usize>(params, WEIGHT);
  const end = min(load<i32>(params, ROWS), (task + 1) * block);
  const vectorBytes = bytes & ~15;
  for (let r = task * block; r < end; r++) {
    const x = load<usize>(params, X) + <usize>r * bytes;
    const out = load<usize>(params, OUT) + <usize>r * bytes;
    let a = f32x4.splat(0);
    for (let i: usize = 0; i < vectorBytes; i += 16) {
      const v = v128.load(x + i);
      a = f32x4.add(a, f32x4.mul(v, v));
    }
    let sum = horizontalSum(a);
    for (let i = vectorBytes; i < bytes; i += 4) sum += load<f32>(x + i) * load<f32>(x + i);
    const inverse = <f32>1 / sqrt<f32>(sum / <f32>cols + load<f32>(params, EPS));
    const factor = f32x4.splat(inverse);
    for (let i: usize = 0; i < vectorBytes; i += 16) {
      v128.store(out + i, f32x4.mul(f32x4.mul(v128.load(x + i), factor), v128.load(weight + i)));
    }
    for (let i = vectorBytes; i < bytes; i += 4) store<f32>(out + i, load<f32>(x + i) * inverse * load<f32>(weight + i));
  }
}
