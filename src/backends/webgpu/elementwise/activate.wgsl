// out[r][i] = act(x[r][i]), or act(x[r][i]) * x[r][width + i] where GATED.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
//#if XIELU
// These are alphaP and alphaN of xIELU as the checkpoint has them, before softplus.
@group(0) @binding(3) var<storage, read> alphas: array<f32>;

fn softplus(x: f32) -> f32 {
  return max(x, 0.0) + log(1.0 + exp(-abs(x)));
}
//#end

//#include act

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  for (var at = group.x * THREADS + l; at < p.length; at += groups.x * THREADS) {
    //#if GATED
    let base = at / p.width * 2u * p.width + at % p.width;
    out[at] = act_gated(x[base], x[base + p.width]);
    //#else
    out[at] = act(x[at]);
    //#end
  }
}
