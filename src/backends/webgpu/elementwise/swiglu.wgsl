// out[r][i] = silu(gate_up[r][i]) * gate_up[r][width + i]
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> gate_up: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  for (var at = group.x * THREADS + l; at < p.length; at += groups.x * THREADS) {
    let row = at / p.width;
    let base = row * 2u * p.width + at % p.width;
    let gate = gate_up[base];
    out[at] = gate / (1.0 + exp(-gate)) * gate_up[base + p.width];
  }
}
