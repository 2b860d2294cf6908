/** @file The gated activation of the MLP. */
import { BLOCK, GATE_UP, OUT, ROWS, WIDTH } from "../generated/swiglu-params";
import { exp, expOne } from "../simd/vector";

/** out = silu(gate) · up, silu(z) = z / (1 + exp(−z)). */
export function swiglu(task: i32, params: usize, scratch: usize): void {
  const width = load<i32>(params, WIDTH);
  const bytes = <usize>width << 2;
  const block = load<i32>(params, BLOCK);
  const end = min(load<i32>(params, ROWS), (task + 1) * block);
  const vectorBytes = bytes & ~15;
  const one = f32x4.splat(1);
  for (let r = task * block; r < end; r++) {
    const gate = load<usize>(params, GATE_UP) + <usize>r * bytes * 2;
    const up = gate + bytes;
    const out = load<usize>(params, OUT) + <usize>r * bytes;
    for (let i: usize = 0; i < vectorBytes; i += 16) {
      const z = v128.load(gate + i);
      const silu = f32x4.div(z, f32x4.add(one, exp(f32x4.neg(z))));
      v128.store(out + i, f32x4.mul(silu, v128.load(up + i)));
    }
    for (let i = vectorBytes; i < bytes; i += 4) {
      const z = load<f32>(gate + i);
      store<f32>(out + i, (z / (1 + expOne(-z))) * load<f32>(up + i));
    }
  }
}
