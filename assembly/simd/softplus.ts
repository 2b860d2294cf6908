/** @file ln(1 + eˣ). */
import { expOne } from "./vector";

/**
 * ln(1 + eˣ) as max(x, 0) + ln(1 + y) with y = exp(−|x|) in (0, 1]. ln(1 + y) is the series of 2 artanh(s) with s = y / (2 + y) ≤ 1/3,
 * which keeps its relative error (2e-7) where y is small.
 */
export function softplus(x: f32): f32 {
  const y = expOne(-abs<f32>(x));
  const s = y / (2 + y), square = s * s;
  let sum: f32 = 1.0 / 17.0;
  for (let n: f32 = 15; n > 0; n -= 2) sum = sum * square + 1 / n;
  return max<f32>(x, 0) + 2 * s * sum;
}
