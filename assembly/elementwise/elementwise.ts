/**
 * @file Row-wise kernels over plain [rows][…] matrices. Task = row in all of them; parameters are 4 bytes each
 * (src/backends/wasm/linear-params.ts writes them). Compiles on its own.
 */
import { exp, expOne, horizontalSum, loadHalf, loadHalves } from "../simd/vector";

/**
 * out[t] = row tokens[t] of a weight matrix, as f32.
 *   0 w (as in linear/linear.ts)   4 wScale, q8 only   8 tokens i32 [rows]   12 out f32 [rows][cols]   16 cols
 *  20 stride: elements of a row of w   24 type: 0 f32, 1 f16 (finite), 2 bf16, 3 q8
 * Tokens are trusted to be rows of w.
 */
export function embed(task: i32, params: usize, scratch: usize): void {
  const type = load<i32>(params, 24);
  const cols = load<i32>(params, 16);
  const token = <usize>load<i32>(load<usize>(params, 8) + (<usize>task << 2));
  const stride = <usize>load<i32>(params, 20);
  const out = load<usize>(params, 12) + (<usize>task * <usize>cols << 2);
  const w = load<usize>(params, 0);
  let i = 0;
  if (type == 0) {
    memory.copy(out, w + (token * stride << 2), <usize>cols << 2);
  } else if (type == 3) {
    const row = w + token * stride;
    const scales = load<usize>(params, 4) + token * (stride >> 3);
    for (; i < cols; i++) {
      store<f32>(out + (<usize>i << 2), <f32>load<i8>(row + <usize>i) * load<f32>(scales + (<usize>(i >> 5) << 2)));
    }
  } else {
    const row = w + (token * stride << 1);
    for (; i + 4 <= cols; i += 4) {
      const p = row + (<usize>i << 1);
      const v = type == 1 ? loadHalves(p) : i32x4.shl(i32x4.extend_low_i16x8_u(v128.load_zero<u64>(p)), 16);
      v128.store(out + (<usize>i << 2), v);
    }
    for (; i < cols; i++) {
      const p = row + (<usize>i << 1);
      store<f32>(out + (<usize>i << 2), type == 1 ? loadHalf(p) : reinterpret<f32>(<u32>load<u16>(p) << 16));
    }
  }
}

/**
 * out = x / sqrt(mean(x²) + eps) · weight. `out` may be x.
 *   0 x f32 [rows][cols]   4 weight f32 [cols]   8 out f32 [rows][cols]   12 cols   16 eps (f32)
 */
export function rmsNorm(task: i32, params: usize, scratch: usize): void {
  const cols = load<i32>(params, 12);
  const x = load<usize>(params, 0) + (<usize>task * <usize>cols << 2);
  const out = load<usize>(params, 8) + (<usize>task * <usize>cols << 2);
  const weight = load<usize>(params, 4);
  const end16 = <usize>(cols & ~15) << 2;
  const end = <usize>cols << 2;
  let a = f32x4.splat(0);
  let b = f32x4.splat(0);
  let c = f32x4.splat(0);
  let d = f32x4.splat(0);
  let i: usize = 0;
  for (; i < end16; i += 64) {
    let v = v128.load(x + i);
    a = f32x4.add(a, f32x4.mul(v, v));
    v = v128.load(x + i, 16);
    b = f32x4.add(b, f32x4.mul(v, v));
    v = v128.load(x + i, 32);
    c = f32x4.add(c, f32x4.mul(v, v));
    v = v128.load(x + i, 48);
    d = f32x4.add(d, f32x4.mul(v, v));
  }
  let sum = horizontalSum(f32x4.add(f32x4.add(a, b), f32x4.add(c, d)));
  for (; i < end; i += 4) sum += load<f32>(x + i) * load<f32>(x + i);
  const factor = <f32>1 / sqrt<f32>(sum / <f32>cols + load<f32>(params, 16));
  for (i = 0; i + 16 <= end; i += 16) {
    v128.store(out + i, f32x4.mul(f32x4.mul(v128.load(x + i), f32x4.splat(factor)), v128.load(weight + i)));
  }
  for (; i < end; i += 4) store<f32>(out + i, load<f32>(x + i) * factor * load<f32>(weight + i));
}

/**
 * out = silu(gate) · up, silu(g) = g / (1 + e^−g).
 *   0 gateUp f32 [rows][2 · width], gate first   4 out f32 [rows][width]   8 width
 */
export function swiglu(task: i32, params: usize, scratch: usize): void {
  const width = load<i32>(params, 8);
  const bytes = <usize>width << 2;
  const gate = load<usize>(params, 0) + <usize>task * 2 * bytes;
  const up = gate + bytes;
  const out = load<usize>(params, 4) + <usize>task * bytes;
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) {
    const g = v128.load(gate + i);
    const silu = f32x4.div(g, f32x4.add(f32x4.splat(1), exp(f32x4.neg(g))));
    v128.store(out + i, f32x4.mul(silu, v128.load(up + i)));
  }
  for (; i < bytes; i += 4) {
    const g = load<f32>(gate + i);
    store<f32>(out + i, g / (<f32>1 + expOne(-g)) * load<f32>(up + i));
  }
}

/**
 * out[t] = x[indices[t]]. `out` must not overlap x.
 *   0 x f32 [any][width]   4 indices i32 [rows]   8 out f32 [rows][width]   12 width
 */
export function gatherRows(task: i32, params: usize, scratch: usize): void {
  const bytes = <usize>load<i32>(params, 12) << 2;
  const index = <usize>load<i32>(load<usize>(params, 4) + (<usize>task << 2));
  memory.copy(load<usize>(params, 8) + <usize>task * bytes, load<usize>(params, 0) + index * bytes, bytes);
}
