// Writes rows of x as f16 in the panels that linear-batch.wgsl reads: [panel of 16 columns][line][16]. A workgroup has one line.
// Lines and columns that are not there become zeros.
//
// What comes before the product is done here, which spares a dispatch:
// NORMED: x is replaced by its RMS norm.
// GATED: a row of x is gate and up, and its values are silu(gate) * up.
enable f16;
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;
@group(0) @binding(2) var<storage, read> norm: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> panels: array<vec4u>;

//#include packed-halves

const THREADS = 128u;
//#if NORMED
//#include sum-of-threads

fn inverse_of(line: u32, l: u32) -> f32 {
  let base = line * (p.cols / 4u);
  var sum = 0.0;
  for (var i = l; i < p.cols / 4u; i += THREADS) {
    let values = x[base + i];
    sum += dot(values, values);
  }
  return 1.0 / sqrt(sum_of_threads(sum, l) / f32(p.cols) + p.eps);
}
//#end

//#if GATED
fn gated(gate: vec4f, up: vec4f) -> vec4f {
  return gate / (1.0 + exp(-gate)) * up;
}
//#end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let line = group.x;
  //#if NORMED
  let inverse = inverse_of(min(line, p.rows - 1u), l);
  //#end
  for (var unit = l; unit < p.panels * 2u; unit += THREADS) {
    var values = array<vec4f, 2>();
    if (line < p.rows && unit * 8u < p.cols) {
      //#if GATED
      let gate = line * (p.cols / 2u) + unit * 2u;
      let up = gate + p.cols / 4u;
      values = array<vec4f, 2>(gated(x[gate], x[up]), gated(x[gate + 1u], x[up + 1u]));
      //#else
      let at = line * (p.cols / 4u) + unit * 2u;
      values = array<vec4f, 2>(x[at], x[at + 1u]);
      //#end
      //#if NORMED
      values = array<vec4f, 2>(values[0] * inverse * norm[unit * 2u], values[1] * inverse * norm[unit * 2u + 1u]);
      //#end
    }
    panels[(unit / 2u * p.lines + line) * 2u + unit % 2u] = packed(values);
  }
}
