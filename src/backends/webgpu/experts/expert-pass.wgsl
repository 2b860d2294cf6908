// out[r] += Σ of the weights of those of a row's experts that give what they read, times x[r].
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> routes: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  for (var at = group.x * THREADS + l; at < p.length; at += groups.x * THREADS) {
    let row = at / p.width;
    var sum = 0.0;
    for (var k = 0u; k < TOP_K; k++) {
      if (u32(routes[row * 2u * TOP_K + k]) >= EXPERTS) {
        sum += routes[row * 2u * TOP_K + TOP_K + k];
      }
    }
    out[at] += sum * x[at];
  }
}
