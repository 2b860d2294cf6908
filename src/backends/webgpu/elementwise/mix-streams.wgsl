// out[r][to_first + j] (+)= factor * the sum over i < INPUTS of coefficients[r][first + j * INPUTS + i] * x[r][from_first + i] for j < OUTPUTS, where
// rows of x and out have `streams` and `out_streams` ones of `width` values. Without WEIGHTED all coefficients are 1.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read_write> out: array<f32>;
//#if !IN_PLACE
@group(0) @binding(2) var<storage, read> x: array<f32>;
//#end
//#if WEIGHTED
@group(0) @binding(WEIGHTS_AT) var<storage, read> coefficients: array<f32>;
//#end

fn input(at: u32) -> f32 {
  //#if IN_PLACE
  return out[at];
  //#else
  return x[at];
  //#end
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) l: u32) {
  for (var at = group.x * THREADS + l; at < p.length; at += groups.x * THREADS) {
    let row = at / p.width;
    let column = at % p.width;
    let base = (row * p.streams + p.from_first) * p.width + column;
    let to = (row * p.out_streams + p.to_first) * p.width + column;
    // All are read before the first is written, which may be one of them.
    var values: array<f32, INPUTS>;
    for (var i = 0u; i < INPUTS; i++) {
      values[i] = input(base + i * p.width);
    }
    for (var j = 0u; j < OUTPUTS; j++) {
      var sum = 0.0;
      for (var i = 0u; i < INPUTS; i++) {
        //#if WEIGHTED
        sum += coefficients[row * p.stride + p.first + j * INPUTS + i] * values[i];
        //#else
        sum += values[i];
        //#end
      }
      sum *= p.factor;
      //#if ADDS
      sum += out[to + j * p.width];
      //#end
      out[to + j * p.width] = sum;
    }
  }
}
