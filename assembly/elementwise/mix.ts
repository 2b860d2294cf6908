/** @file What a row's experts give, added up with the weight of each. */
import { ADD, BLOCK, COUNT, FROM, OUT, PLACES, ROWS, WEIGHTS, WEIGHT_STRIDE, WIDTH } from "../generated/mix-params";
import { madd } from "../simd/vector";

/** out[r] (+)= Σ weight[r][k] · from[place[r][k]] for k < count; without weights each counts 1. */
export function mix(task: i32, params: usize, scratch: usize): void {
  const width = load<i32>(params, WIDTH), count = load<i32>(params, COUNT), add = load<u32>(params, ADD) != 0;
  const bytes = <usize>width << 2, vectorBytes = bytes & ~15;
  const block = load<i32>(params, BLOCK), end = min(load<i32>(params, ROWS), (task + 1) * block);
  const from = <usize>load<u32>(params, FROM);
  for (let r = task * block; r < end; r++) {
    const out = <usize>load<u32>(params, OUT) + <usize>r * bytes;
    const places = <usize>load<u32>(params, PLACES) + (<usize>(r * count) << 2);
    const weights = load<u32>(params, WEIGHTS) != 0
      ? <usize>load<u32>(params, WEIGHTS) + <usize>r * <usize>load<u32>(params, WEIGHT_STRIDE)
      : 0;
    for (let k = 0; k < count; k++) {
      const x = from + <usize>load<u32>(places + (<usize>k << 2)) * bytes;
      const weight: f32 = weights != 0 ? load<f32>(weights + (<usize>k << 2)) : 1;
      const factor = f32x4.splat(weight);
      const isFirst = k == 0 && !add;
      for (let i: usize = 0; i < vectorBytes; i += 16) {
        const before = isFirst ? f32x4.splat(0) : v128.load(out + i);
        v128.store(out + i, madd(v128.load(x + i), factor, before));
      }
      for (let i = vectorBytes; i < bytes; i += 4) {
        const before: f32 = isFirst ? 0 : load<f32>(out + i);
        store<f32>(out + i, before + weight * load<f32>(x + i));
      }
    }
  }
}
