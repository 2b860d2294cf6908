/// ln(1 + exp(x)) as max(x, 0) + ln(1 + y). ln(1 + y) is the series of 2 artanh(s) with s = y / (2 + y), at most 1/3, which keeps its
/// relative error where y is small.
fn softplus(x: f32) -> f32 {
  let y = exp(-abs(x));
  let s = y / (2.0 + y);
  let q = s * s;
  let sum = (((((((q / 17.0 + 1.0 / 15.0) * q + 1.0 / 13.0) * q + 1.0 / 11.0) * q + 1.0 / 9.0) * q + 1.0 / 7.0) * q + 0.2) * q + 1.0 / 3.0) * q + 1.0;
  return max(x, 0.0) + 2.0 * s * sum;
}
