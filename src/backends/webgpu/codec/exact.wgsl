// These functions round every operation once, as docs/formats/kv-page.md demands, even on devices that fuse products into sums and
// divide approximately.

// Keeps the compiler from making a product part of an fma.
fn rounded(x: f32) -> f32 {
  return bitcast<f32>(bitcast<u32>(x) ^ p.zero);
}

fn rounded4(x: vec4f) -> vec4f {
  return bitcast<vec4f>(bitcast<vec4u>(x) ^ vec4u(p.zero));
}

// Returns x rounded to twelve bits; what is left of x fits eleven bits and a sign.
fn upper(x: f32) -> f32 {
  return bitcast<f32>((bitcast<u32>(x) + 0x800u) & 0xfffff000u);
}

// Returns a - x * y without the rounding of the product (Dekker 1971). The partial products are exact, fused or not.
fn residual(a: f32, x: f32, y: f32) -> f32 {
  let product = rounded(x * y);
  let xh = upper(x);
  let yh = upper(y);
  let xl = x - xh;
  let yl = y - yh;
  let error = ((xh * yh - product) + xh * yl + xl * yh) + xl * yl;
  return (a - product) - error;
}

// Returns a / b. The device's quotient may be off by a few units in the last place; the residual corrects it.
fn quotient(a: f32, b: f32) -> f32 {
  let numerator = rounded(a);
  let near = numerator / b;
  let better = near + rounded(residual(numerator, near, b) / b);
  // A correction that is large or NaN means that parts of the residual overflowed or underflowed, or that b = 0.
  return select(near, better, abs(better - near) <= abs(near) * 1e-5);
}

fn root(x: f32) -> f32 {
  let near = sqrt(x);
  let better = near + rounded(residual(x, near, near) / (2.0 * near));
  return select(near, better, abs(better - near) <= near * 1e-5);
}
