// x = cap · tanh(x / cap), in place. The argument of exp is limited where the result is ±cap anyway, so that it cannot overflow.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  for (var at = group.x * THREADS + l; at < p.length; at += groups.x * THREADS) {
    x[at] = p.cap - 2.0 * p.cap / (exp(clamp(2.0 * x[at] / p.cap, -40.0, 40.0)) + 1.0);
  }
}
