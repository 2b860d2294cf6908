const MOST = vec4f(65504);
/// Eight values as f16, beyond ±65504 clamped to that.
fn packed(values: array<vec4f, 2>) -> vec4u {
  return vec4u(
    bitcast<vec2u>(vec4h(clamp(values[0], -MOST, MOST))),
    bitcast<vec2u>(vec4h(clamp(values[1], -MOST, MOST))),
  );
}
