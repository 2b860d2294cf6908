/**
 * @file What is asked of a row of logits for every token: whether all are finite, and which is the largest.
 *
 * Both loops take four elements at a time into four results that do not depend on each other: a single chain waits for the
 * addition or the comparison before it, which is most of the time over a vocabulary of 150,000 tokens.
 */
import { TurboQuantError } from "../errors.ts";

/** Index of the largest score, the first of equal ones; 0 when none is larger than -Infinity. scores: at least one, none NaN */
export function argmax(scores: Float32Array): number {
  let first = Number.NEGATIVE_INFINITY;
  let second = first;
  let third = first;
  let fourth = first;
  const whole = scores.length - (scores.length % 4);
  for (let i = 0; i < whole; i += 4) {
    const a = scores[i]!;
    const b = scores[i + 1]!;
    const c = scores[i + 2]!;
    const d = scores[i + 3]!;
    if (a > first) first = a;
    if (b > second) second = b;
    if (c > third) third = c;
    if (d > fourth) fourth = d;
  }
  for (let i = whole; i < scores.length; i++) if (scores[i]! > first) first = scores[i]!;
  return scores.indexOf(Math.max(first, second, third, fourth));
}

/** log Σ exp(scores). max: the largest score */
export function logSumExp(scores: Float32Array, max: number): number {
  let sum = 0;
  for (let i = 0; i < scores.length; i++) sum += Math.exp(scores[i]! - max);
  return max + Math.log(sum);
}

/** @throws TurboQuantError invalid_file — logits that are not finite, or none */
export function checkFinite(logits: Float32Array): void {
  // Zero times a finite number is 0; times an infinite one or NaN it is NaN, and so is every sum with it.
  let first = 0;
  let second = 0;
  let third = 0;
  let fourth = 0;
  const whole = logits.length - (logits.length % 4);
  for (let i = 0; i < whole; i += 4) {
    first += logits[i]! * 0;
    second += logits[i + 1]! * 0;
    third += logits[i + 2]! * 0;
    fourth += logits[i + 3]! * 0;
  }
  for (let i = whole; i < logits.length; i++) first += logits[i]! * 0;
  if (first + second + third + fourth === 0 && logits.length > 0) return;
  const at = logits.findIndex((logit) => !Number.isFinite(logit));
  throw notFinite(Math.max(0, at), logits[at]);
}

/** The error for a logit that is not finite. token: its index */
export function notFinite(token: number, value: number | undefined): TurboQuantError {
  return new TurboQuantError(
    "invalid_file",
    `sampling: the logits are not finite (token ${token}: ${value}); the weights are damaged or overflow: ` +
      "check the checkpoint, or load it with weights f32",
    { token, value },
  );
}
