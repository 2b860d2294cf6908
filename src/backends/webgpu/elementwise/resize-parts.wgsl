// Parts of rows that get another width: the end of what is longer is left out, what is shorter gets zeros behind it.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  for (var at = group.x * THREADS + l; at < p.length; at += groups.x * THREADS) {
    let part = at / p.out_width;
    let i = at % p.out_width;
    let row = part / p.count;
    let of_row = part % p.count;
    let value = x[row * p.stride + p.first + of_row * p.width + min(i, p.width - 1u)];
    out[row * p.out_stride + p.out_first + of_row * p.out_width + i] = select(0.0, value, i < p.width);
  }
}
