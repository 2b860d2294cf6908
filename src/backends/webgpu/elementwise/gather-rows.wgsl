// out[i] = x[step[rows_at + i]]
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> step: array<u32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let row = step[p.rows_at + group.x];
  for (var i = l; i < p.width; i += 64u) {
    out[group.x * p.width + i] = x[row * p.width + i];
  }
}
