// out[row] (+)= scale * table[tokens[row]], with one workgroup a row. A table may be in several buffers: a dispatch reads one of them
// and skips rows whose token is in another.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> words: array<WORD>;
@group(0) @binding(2) var<storage, read> scales: array<SCALE>;
@group(0) @binding(3) var<storage, read> tokens: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
//#insert WEIGHT

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let row = group.x;
  let token = tokens[p.token_at + row * p.token_stride];
  if (token < p.first || token >= p.first + p.count) {
    return;
  }
  for (var unit = l; unit * 8u < p.cols; unit += 64u) {
    var w = weight_unit((token - p.first) * p.stride, unit);
    for (var i = 0u; i < 8u; i++) {
      let at = unit * 8u + i;
      if (at < p.cols) {
        //#if ADDS
        out[row * p.cols + at] += p.scale * w[i >> 2u][i & 3u];
        //#else
        out[row * p.cols + at] = p.scale * w[i >> 2u][i & 3u];
        //#end
      }
    }
  }
}
