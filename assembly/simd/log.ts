/** @file ln(x). */

/** Of a normal number above 0: its exponent's multiple of ln 2, and the series of 2 artanh(s) with |s| ≤ 0.172 for what is left, to 2e-7. */
export function logOne(x: f32): f32 {
  const bits = reinterpret<u32>(x);
  // The fraction is brought into [√½, √2).
  const high = (bits + 0x004afb0d) & 0xff800000;
  const exponent = <f32>(<i32>(high >> 23) - 127);
  const m = reinterpret<f32>(bits - (high - 0x3f800000));
  const s = (m - 1) / (m + 1), square = s * s;
  let sum: f32 = 1.0 / 9.0;
  for (let n: f32 = 7; n > 0; n -= 2) sum = sum * square + 1 / n;
  return exponent * <f32>0.6931471805599453 + 2 * s * sum;
}
