// out[r] = x[r] / rms(x[r]) * weight, with one workgroup a row.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
//#if !IN_PLACE
@group(0) @binding(3) var<storage, read> x: array<f32>;
//#end
const THREADS = 256u;
// An invocation keeps KEPT values in registers; what a longer row has beyond them is read twice.
const KEPT = 4u;
//#include sum-of-threads

fn input(at: u32) -> f32 {
  //#if IN_PLACE
  return out[at];
  //#else
  return x[at];
  //#end
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  let base = (group.y * groups.x + group.x) * p.cols;
  var values: array<f32, KEPT>;
  var weights: array<f32, KEPT>;
  for (var n = 0u; n < KEPT; n++) {
    let i = min(l + n * THREADS, p.cols - 1u);
    values[n] = input(base + i);
    weights[n] = weight[i];
  }
  var sum = 0.0;
  for (var n = 0u; n < KEPT; n++) {
    sum += select(0.0, values[n] * values[n], l + n * THREADS < p.cols);
  }
  for (var i = l + KEPT * THREADS; i < p.cols; i += THREADS) {
    let value = input(base + i);
    sum += value * value;
  }
  let inverse = 1.0 / sqrt(sum_of_threads(sum, l) / f32(p.cols) + p.eps);
  for (var n = 0u; n < KEPT; n++) {
    let i = l + n * THREADS;
    if (i < p.cols) {
      out[base + i] = values[n] * inverse * weights[n];
    }
  }
  for (var i = l + KEPT * THREADS; i < p.cols; i += THREADS) {
    out[base + i] = input(base + i) * inverse * weight[i];
  }
}
