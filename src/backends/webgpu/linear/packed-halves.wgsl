const MOST = vec4f(65504);
/// Returns eight values as f16, clamped to its range, because values beyond it would become infinite.
fn packed(values: array<vec4f, 2>) -> vec4u {
  return vec4u(
    bitcast<vec2u>(vec4h(clamp(values[0], -MOST, MOST))),
    bitcast<vec2u>(vec4h(clamp(values[1], -MOST, MOST))),
  );
}
