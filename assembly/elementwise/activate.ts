/** @file The activations of feed-forwards, with a gate or without; SwiGLU has a kernel of its own. */
import {
  ALPHAS, BLOCK, GATED, KIND, KIND_GELU, KIND_GELU_TANH, KIND_QUICK_GELU, KIND_RELU, KIND_RELU_2, KIND_SILU, LIMIT, OFFSET, OUT,
  ROWS, SLOPE, WIDTH, X,
} from "../generated/activate-params";
import { softplus } from "../simd/softplus";
import { exp } from "../simd/vector";

// @ts-ignore: decorator
@inline function silu(x: v128): v128 {
  return f32x4.div(x, f32x4.add(f32x4.splat(1), exp(f32x4.neg(x))));
}

/** x · (1 + tanh(u)) / 2 with u = √(2/π) · (x + 0.044715 x³), which is x / (1 + exp(−2u)). */
// @ts-ignore: decorator
@inline function geluTanh(x: v128): v128 {
  const cube = f32x4.mul(f32x4.mul(x, x), f32x4.mul(x, f32x4.splat(0.044715)));
  const u2 = f32x4.mul(f32x4.add(x, cube), f32x4.splat(1.5957691216057308));
  return f32x4.div(x, f32x4.add(f32x4.splat(1), exp(f32x4.neg(u2))));
}

/** x · Φ(x), Φ by Abramowitz and Stegun 7.1.26: 1 − erf(z) = t (a₁ + t (a₂ + …)) exp(−z²), off by at most 1.5e-7. */
// @ts-ignore: decorator
@inline function gelu(x: v128): v128 {
  const z = f32x4.mul(f32x4.abs(x), f32x4.splat(0.7071067811865476));
  const t = f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), f32x4.mul(z, f32x4.splat(0.3275911))));
  let p = f32x4.splat(1.061405429);
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(-1.453152027));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(1.421413741));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(-0.284496736));
  p = f32x4.add(f32x4.mul(p, t), f32x4.splat(0.254829592));
  const tail = f32x4.mul(f32x4.mul(f32x4.mul(p, t), exp(f32x4.neg(f32x4.mul(z, z)))), f32x4.splat(0.5));
  const isPositive = f32x4.gt(x, f32x4.splat(0));
  return f32x4.mul(x, v128.bitselect(f32x4.sub(f32x4.splat(1), tail), tail, isPositive));
}

// @ts-ignore: decorator
@inline function quickGelu(x: v128): v128 {
  return f32x4.div(x, f32x4.add(f32x4.splat(1), exp(f32x4.mul(x, f32x4.splat(-1.702)))));
}

// @ts-ignore: decorator
@inline function relu(x: v128): v128 {
  return f32x4.max(x, f32x4.splat(0));
}

// @ts-ignore: decorator
@inline function relu2(x: v128): v128 {
  return f32x4.mul(relu(x), relu(x));
}

/** eˣ − 1 − x of x ≤ 0: near 0, where the difference would cancel, its series. */
// @ts-ignore: decorator
@inline function beyondLinear(x: v128): v128 {
  let p = f32x4.splat(1.0 / 5040.0);
  p = f32x4.add(f32x4.mul(p, x), f32x4.splat(1.0 / 720.0));
  p = f32x4.add(f32x4.mul(p, x), f32x4.splat(1.0 / 120.0));
  p = f32x4.add(f32x4.mul(p, x), f32x4.splat(1.0 / 24.0));
  p = f32x4.add(f32x4.mul(p, x), f32x4.splat(1.0 / 6.0));
  p = f32x4.add(f32x4.mul(p, x), f32x4.splat(0.5));
  const near = f32x4.mul(f32x4.mul(p, x), x);
  const far = f32x4.sub(f32x4.sub(exp(x), f32x4.splat(1)), x);
  return v128.bitselect(near, far, f32x4.gt(x, f32x4.splat(-0.5)));
}

// @ts-ignore: decorator
@inline function xielu(x: v128, positive: f32, negative: f32): v128 {
  const low = f32x4.min(x, f32x4.splat(0));
  const curve = v128.bitselect(
    f32x4.mul(f32x4.mul(x, x), f32x4.splat(positive)),
    f32x4.mul(beyondLinear(low), f32x4.splat(negative)),
    f32x4.gt(x, f32x4.splat(0)),
  );
  return f32x4.add(curve, f32x4.mul(x, f32x4.splat(0.5)));
}

// @ts-ignore: decorator
@inline function act(kind: u32, x: v128, positive: f32, negative: f32): v128 {
  if (kind == KIND_SILU) return silu(x);
  if (kind == KIND_GELU) return gelu(x);
  if (kind == KIND_GELU_TANH) return geluTanh(x);
  if (kind == KIND_RELU_2) return relu2(x);
  if (kind == KIND_RELU) return relu(x);
  if (kind == KIND_QUICK_GELU) return quickGelu(x);
  return xielu(x, positive, negative);
}

/** SwiGLU with limits: see `SwigluClamp` in src/backends/ops.ts. */
// @ts-ignore: decorator
@inline function clamped(gate: v128, up: v128, limit: v128, slope: v128, offset: v128): v128 {
  const g = f32x4.min(gate, limit);
  const u = f32x4.max(f32x4.min(up, limit), f32x4.neg(limit));
  const act = f32x4.div(g, f32x4.add(f32x4.splat(1), exp(f32x4.neg(f32x4.mul(g, slope)))));
  return f32x4.mul(act, f32x4.add(u, offset));
}

function activateClamped(task: i32, params: usize): void {
  const width = load<i32>(params, WIDTH), bytes = <usize>width << 2, vectorBytes = bytes & ~15;
  const block = load<i32>(params, BLOCK), end = min(load<i32>(params, ROWS), (task + 1) * block);
  const limit = f32x4.splat(load<f32>(params, LIMIT));
  const slope = f32x4.splat(load<f32>(params, SLOPE));
  const offset = f32x4.splat(load<f32>(params, OFFSET));
  for (let r = task * block; r < end; r++) {
    const x = <usize>load<u32>(params, X) + (<usize>r * bytes << 1);
    const out = <usize>load<u32>(params, OUT) + <usize>r * bytes;
    for (let i: usize = 0; i < vectorBytes; i += 16) {
      v128.store(out + i, clamped(v128.load(x + i), v128.load(x + bytes + i), limit, slope, offset));
    }
    for (let i = vectorBytes; i < bytes; i += 4) {
      const v = clamped(v128.load32_splat(x + i), v128.load32_splat(x + bytes + i), limit, slope, offset);
      store<f32>(out + i, f32x4.extract_lane(v, 0));
    }
  }
}

export function activate(task: i32, params: usize, scratch: usize): void {
  if (load<f32>(params, LIMIT) > 0) {
    activateClamped(task, params);
    return;
  }
  const width = load<i32>(params, WIDTH), kind = load<u32>(params, KIND), gated = load<u32>(params, GATED) != 0;
  const bytes = <usize>width << 2, vectorBytes = bytes & ~15, stride = gated ? bytes << 1 : bytes;
  const block = load<i32>(params, BLOCK), end = min(load<i32>(params, ROWS), (task + 1) * block);
  const alphas = <usize>load<u32>(params, ALPHAS);
  const positive: f32 = alphas ? softplus(load<f32>(alphas)) : 0;
  const negative: f32 = alphas ? 0.5 + softplus(load<f32>(alphas, 4)) : 0;
  for (let r = task * block; r < end; r++) {
    const x = <usize>load<u32>(params, X) + <usize>r * stride;
    const out = <usize>load<u32>(params, OUT) + <usize>r * bytes;
    for (let i: usize = 0; i < vectorBytes; i += 16) {
      let v = act(kind, v128.load(x + i), positive, negative);
      if (gated) v = f32x4.mul(v, v128.load(x + bytes + i));
      v128.store(out + i, v);
    }
    for (let i = vectorBytes; i < bytes; i += 4) {
      let v = f32x4.extract_lane(act(kind, v128.load32_splat(x + i), positive, negative), 0);
      if (gated) v *= load<f32>(x + bytes + i);
      store<f32>(out + i, v);
    }
  }
}
