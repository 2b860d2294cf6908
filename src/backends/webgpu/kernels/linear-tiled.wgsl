// out[r] (+)= w · x[r] (+ bias) for many rows: tiles of 64 rows × 64 outputs, sixteen columns at a time through workgroup
// memory; an invocation keeps 4 × 4 sums.
struct Params {
  rows: u32,
  cols: u32,
  stride: u32,
  outputs: u32,
  first: u32,
  total: u32,
  has_bias: u32,
  add: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> words: array<WORD>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
//#insert WEIGHT
const STEP = 16u;
const PITCH = 68u;
var<workgroup> xs: array<f32, STEP * PITCH>;
var<workgroup> ws: array<f32, STEP * PITCH>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let row0 = group.y * 64u;
  let out0 = group.x * 64u;
  let tx = l % 16u;
  let ty = l / 16u;
  var acc: array<vec4f, 4>;
  for (var k = 0u; k < p.cols; k += STEP) {
    // Half of the invocations bring eight columns of one row of x each, the other half of one row of w.
    let half = l % 128u;
    let unit = half % 2u;
    let line = half / 2u;
    var values = array<vec4f, 2>();
    if (l < 128u) {
      let row = row0 + line;
      for (var i = 0u; i < 8u; i++) {
        let at = k + unit * 8u + i;
        if (row < p.rows && at < p.cols) {
          values[i >> 2u][i & 3u] = x[row * p.cols + at];
        }
      }
    } else if (out0 + line < p.outputs && k + unit * 8u < p.cols) {
      values = weight_unit((out0 + line) * p.stride, k / 8u + unit);
    }
    workgroupBarrier();
    for (var i = 0u; i < 8u; i++) {
      let at = (unit * 8u + i) * PITCH + line;
      let value = values[i >> 2u][i & 3u];
      if (l < 128u) {
        xs[at] = value;
      } else {
        ws[at] = value;
      }
    }
    workgroupBarrier();
    for (var i = 0u; i < STEP; i++) {
      let at = i * PITCH;
      let w = vec4f(ws[at + tx], ws[at + tx + 16u], ws[at + tx + 32u], ws[at + tx + 48u]);
      for (var r = 0u; r < 4u; r++) {
        acc[r] += xs[at + ty * 4u + r] * w;
      }
    }
  }
  for (var r = 0u; r < 4u; r++) {
    for (var c = 0u; c < 4u; c++) {
      let row = row0 + ty * 4u + r;
      let output = out0 + tx + 16u * c;
      if (row < p.rows && output < p.outputs) {
        let at = row * p.total + p.first + output;
        var value = acc[r][c];
        if (p.has_bias != 0u) {
          value += bias[p.first + output];
        }
        if (p.add != 0u) {
          value += out[at];
        }
        out[at] = value;
      }
    }
  }
}
