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

fn act(x: f32) -> f32 {
  //#if SILU
  return x / (1.0 + exp(-x));
  //#end
  //#if GELU
  // WGSL has no erf: formula 7.1.26 of Abramowitz and Stegun gives 1 - erf(z), off by at most 1.5e-7.
  let z = abs(x) * 0.7071067811865476;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let poly = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t + 0.254829592) * t;
  let tail = 0.5 * poly * exp(-z * z);
  return x * select(tail, 1.0 - tail, x > 0.0);
  //#end
  //#if GELU_TANH
  // x * (1 + tanh(u)) / 2 equals x / (1 + exp(-2u)). The exponent is limited, so that exp cannot overflow where this is nearly 0.
  let u2 = 1.5957691216057308 * (x + 0.044715 * x * x * x);
  return x / (1.0 + exp(min(-u2, 88.0)));
  //#end
  //#if RELU2
  let positive = max(x, 0.0);
  return positive * positive;
  //#end
  //#if XIELU
  if (x > 0.0) {
    return softplus(alphas[0]) * x * x + 0.5 * x;
  }
  // This is exp(x) - 1 - x, by its series near 0, where the difference would cancel.
  let near = (((((x / 5040.0 + 1.0 / 720.0) * x + 1.0 / 120.0) * x + 1.0 / 24.0) * x + 1.0 / 6.0) * x + 0.5) * x * x;
  let far = exp(x) - 1.0 - x;
  return (0.5 + softplus(alphas[1])) * select(far, near, x > -0.5) + 0.5 * x;
  //#end
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  for (var at = group.x * THREADS + l; at < p.length; at += groups.x * THREADS) {
    //#if GATED
    let base = at / p.width * 2u * p.width + at % p.width;
    out[at] = act(x[base]) * x[base + p.width];
    //#else
    out[at] = act(x[at]);
    //#end
  }
}
