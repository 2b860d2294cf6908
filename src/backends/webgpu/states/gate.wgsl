// x[r][i] *= act(gates[r][i / repeat])
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> x: array<f32>;
@group(0) @binding(2) var<storage, read> gates: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  for (var at = group.x * THREADS + l; at < p.length; at += groups.x * THREADS) {
    let factor = gates[at / p.width * p.stride + p.first + at % p.width / p.repeat];
    //#if PLAIN
    x[at] *= factor;
    //#else
    let sigmoid = 1.0 / (1.0 + exp(min(-factor, 88.0)));
    //#if SILU
    x[at] *= factor * sigmoid;
    //#else
    x[at] *= sigmoid;
    //#end
    //#end
  }
}
