/** @file Values times a sigmoid or SiLU of their gates, or times the gates. */
import { BLOCK, GATES, KIND, KIND_NONE, KIND_SILU, REPEAT, ROWS, STRIDE, WIDTH, X } from "../generated/gate-params";
import { exp } from "../simd/vector";

// @ts-ignore: decorator
@inline function act(x: v128, kind: u32): v128 {
  if (kind == KIND_NONE) return x;
  const silu = kind == KIND_SILU;
  return f32x4.div(silu ? x : f32x4.splat(1), f32x4.add(f32x4.splat(1), exp(f32x4.neg(x))));
}

export function gate(task: i32, params: usize, scratch: usize): void {
  const width = load<i32>(params, WIDTH), repeat = load<i32>(params, REPEAT), kind = load<u32>(params, KIND);
  const stride = <usize>load<u32>(params, STRIDE) << 2;
  const block = load<i32>(params, BLOCK), end = min(load<i32>(params, ROWS), (task + 1) * block);
  const vectorWidth = repeat == 1 ? width & ~3 : 0;
  for (let r = task * block; r < end; r++) {
    const x = <usize>load<u32>(params, X) + <usize>(r * width) * 4;
    const gates = <usize>load<u32>(params, GATES) + <usize>r * stride;
    for (let i = 0; i < vectorWidth; i += 4) {
      const at = <usize>i << 2;
      v128.store(x + at, f32x4.mul(v128.load(x + at), act(v128.load(gates + at), kind)));
    }
    for (let i = vectorWidth, g = gates + (<usize>(vectorWidth / repeat) << 2); i < width; g += 4) {
      const factor = act(v128.load32_splat(g), kind);
      const last = min(i + repeat, width);
      for (; i + 4 <= last; i += 4) {
        const at = x + (<usize>i << 2);
        v128.store(at, f32x4.mul(v128.load(at), factor));
      }
      for (; i < last; i++) {
        const at = x + (<usize>i << 2);
        store<f32>(at, load<f32>(at) * f32x4.extract_lane(factor, 0));
      }
    }
  }
}
