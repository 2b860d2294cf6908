/** @file The soft cap of logits. */
import { BLOCK, CAP, LENGTH, X } from "../generated/softcap-params";
import { capped } from "../simd/vector";

/** x = cap · tanh(x / cap), in place. What lies between the last value and the next multiple of four is capped as well. */
export function softcap(task: i32, params: usize, scratch: usize): void {
  const block = load<i32>(params, BLOCK), first = task * block;
  const x = load<usize>(params, X) + (<usize>first << 2);
  const end = x + (<usize>min(block, load<i32>(params, LENGTH) - first) << 2);
  const cap = load<f32>(params, CAP);
  const c = f32x4.splat(cap), rate = f32x4.splat(2 / cap);
  for (let at = x; at < end; at += 16) v128.store(at, capped(v128.load(at), c, rate));
}
