// out[r] (+)= w · x[r] (+ bias) for a few rows r: LANES neighbouring invocations share OUTPUTS neighbouring outputs, so that a
// weight is read once for all rows and x once for all outputs. An invocation has UNROLL units of eight columns under way at once.
//
// What comes before or after the product can be done here, which spares a dispatch:
// NORMED: x is replaced by its RMS norm. Every group of lanes reads all of x anyway, so it adds up the squares as well; the
// weights of the norm are factors of x, and 1 / rms is one of the result.
// GATED: the weight is gate over up, and out[i] = silu(gate[i] · x) * (up[i] · x).
//#if SUBGROUPS
enable subgroups;
//#end

//#include linear-bindings
//#if NORMED
@group(0) @binding(6) var<storage, read> norm: array<XTYPE>;
//#end

//#if NORMED
fn norm_unit(unit: u32) -> array<vec4f, 2> {
  //#if TAIL
  var values = array<f32, 8>();
  for (var i = 0u; i < 8u; i++) {
    values[i] = norm[min(unit * 8u + i, p.cols - 1u)];
  }
  return array<vec4f, 2>(
    vec4f(values[0], values[1], values[2], values[3]),
    vec4f(values[4], values[5], values[6], values[7]),
  );
  //#else
  return array<vec4f, 2>(norm[unit * 2u], norm[unit * 2u + 1u]);
  //#end
}
//#end

//#include lanes

//#if GATED
fn finish_pair(gate: f32, up: f32, lane: u32, row: u32, output: u32) {
  if (lane == 0u && output < p.outputs / 2u && row < p.rows) {
    out[row * (p.outputs / 2u) + output] = gate / (1.0 + exp(-gate)) * up;
  }
}
//#else
//#include store-sum

fn finish(sum: f32, lane: u32, row: u32, output: u32) {
  if (lane == 0u) {
    store_sum(sum, row, output);
  }
}
//#end

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) l: u32,
) {
  let lane = l % LANES;
  let output0 = ((group.y * groups.x + group.x) * (THREADS / LANES) + l / LANES) * OUTPUTS;
  let units = (p.cols + 7u) / 8u;
  //#insert DECLARE
  var unit = lane;
  for (; unit + (UNROLL - 1u) * LANES < units; unit += UNROLL * LANES) {
    //#insert UNROLLED
  }
  //#if UNROLL > 1
  for (; unit < units; unit += LANES) {
    //#insert SINGLE
  }
  //#end
  //#insert FINISH
}
