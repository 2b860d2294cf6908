/** @file What some models change about the softmax: a soft cap of the scores, and a learned logit without a value. */
import { capped, expOne } from "../simd/vector";
import { MAX_TILE, SINK_LOGITS, S_SCORES } from "./params";

/** score → cap · tanh(score / cap) for the first `count` keys of all rows. */
export function capScores(scratch: usize, rows: usize, count: usize, cap: f32): void {
  const c = f32x4.splat(cap), rate = f32x4.splat(2 / cap);
  for (let row: usize = 0; row < rows; row++) {
    const scores = scratch + S_SCORES + row * MAX_TILE * 4, end = scores + count * 4;
    for (let at = scores; at < end; at += 16) v128.store(at, capped(v128.load(at), c, rate));
  }
}

/** A row's sum of weights relative to the score `most`, with the weight of the learned logit of query head `head` if there is one. */
export function withSinkLogit(p: usize, head: usize, sum: f32, most: f32): f32 {
  const logits = <usize>load<u32>(p, SINK_LOGITS);
  return logits ? sum + expOne(load<f32>(logits + head * 4) - most) : sum;
}
