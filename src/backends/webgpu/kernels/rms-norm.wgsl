// out[r] = x[r] / rms(x[r]) * weight. One workgroup a row.
struct Params {
  cols: u32,
  eps: f32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
//#if !IN_PLACE
@group(0) @binding(3) var<storage, read> x: array<f32>;
//#end
var<workgroup> sums: array<f32, 256>;

fn input(at: u32) -> f32 {
  //#if IN_PLACE
  return out[at];
  //#else
  return x[at];
  //#end
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let base = group.x * p.cols;
  var sum = 0.0;
  for (var i = l; i < p.cols; i += 256u) {
    let value = input(base + i);
    sum += value * value;
  }
  sums[l] = sum;
  for (var half = 128u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      sums[l] += sums[l + half];
    }
  }
  workgroupBarrier();
  let inverse = 1.0 / sqrt(sums[0] / f32(p.cols) + p.eps);
  for (var i = l; i < p.cols; i += 256u) {
    out[base + i] = input(base + i) * inverse * weight[i];
  }
}
