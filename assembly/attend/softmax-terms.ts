/** @file Terms that some models add to the softmax: a soft cap of the scores, and a learned logit that has no value. */
import { capped, expOne } from "../simd/vector";
import { MAX_TILE, SINK_LOGITS, S_SCORES } from "./params";

/** Replaces the scores of all rows by cap · tanh(score / cap). count: keys of the tile, a multiple of 4 · cap > 0 */
export function capScores(scratch: usize, rows: usize, count: usize, cap: f32): void {
  const c = f32x4.splat(cap), rate = f32x4.splat(2 / cap);
  for (let row: usize = 0; row < rows; row++) {
    const scores = scratch + S_SCORES + row * MAX_TILE * 4, end = scores + count * 4;
    for (let at = scores; at < end; at += 16) v128.store(at, capped(v128.load(at), c, rate));
  }
}

/**
 * Adds the weight of a query head's learned logit, if the layer has such logits, to a row's sum of weights.
 * head: query head · sum: Σ exp(score − most) · most: the row's maximum · returns: the new sum
 */
export function withSinkLogit(p: usize, head: usize, sum: f32, most: f32): f32 {
  const logits = <usize>load<u32>(p, SINK_LOGITS);
  return logits ? sum + expOne(load<f32>(logits + head * 4) - most) : sum;
}
