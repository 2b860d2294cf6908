/// Puts eight values of f16 into the workgroup's `tiles`, from `at` on.
fn keep_halves(at: u32, values: vec4u) {
  let low = bitcast<vec4h>(values.xy);
  let high = bitcast<vec4h>(values.zw);
  tiles[at] = low.x;
  tiles[at + 1u] = low.y;
  tiles[at + 2u] = low.z;
  tiles[at + 3u] = low.w;
  tiles[at + 4u] = high.x;
  tiles[at + 5u] = high.y;
  tiles[at + 6u] = high.z;
  tiles[at + 7u] = high.w;
}
