// x[r][i] *= the factor of the run of columns that i is in.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  for (var at = group.x * THREADS + l; at < p.length; at += groups.x * THREADS) {
    let column = at % p.width;
    var run = 0u;
    for (var n = 0u; n + 1u < RUNS; n++) {
      run += select(0u, 1u, column >= p.ends[n / 4u][n % 4u]);
    }
    x[at] *= p.factors[run / 4u][run % 4u];
  }
}
