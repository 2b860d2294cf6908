// What experts compute for a few rows: only the weights of those that were chosen are read. LANES neighbouring invocations share
// an output, as in linear-rows.wgsl.
//
// HIDDEN: out[pair] = act(gate · x) * (up · x), or act(up · x) without a gate, where a pair is one of a row's TOP_K experts.
// Otherwise out[row] (+)= Σ weight * (down · x[pair] + bias) over the row's pairs. With INPUT_SCALED the weight is a factor of
// what gate and up read instead.
//#if SUBGROUPS
enable subgroups;
//#end
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> words: array<WORD>;
@group(0) @binding(2) var<storage, read> scales: array<SCALE>;
@group(0) @binding(3) var<storage, read> x: array<XTYPE>;
@group(0) @binding(4) var<storage, read> routes: array<f32>;
@group(0) @binding(5) var<storage, read> bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> out: array<f32>;
//#insert WEIGHT

//#include lanes
//#if SUBGROUPS
fn sum_of_lanes(value: f32, lane: u32, l: u32) -> f32 {
  return subgroupAdd(value);
}
//#end

//#if HIDDEN
//#include act
//#end

fn expert_of(row: u32, k: u32) -> u32 {
  return u32(routes[row * 2u * TOP_K + k]);
}

fn weight_of(row: u32, k: u32) -> f32 {
  return routes[row * 2u * TOP_K + TOP_K + k];
}

fn product(row_at: u32, row: u32, lane: u32, units: u32) -> f32 {
  var sum = 0.0;
  for (var unit = lane; unit < units; unit += LANES) {
    let w = weight_unit(row_at, unit);
    let values = x_unit(row, unit);
    sum += dot(w[0], values[0]) + dot(w[1], values[1]);
  }
  return sum;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let lane = l % LANES;
  let units = (p.cols + 7u) / 8u;
  // Invocations after the last output repeat it, and what they compute is dropped.
  let own = group.x * (THREADS / LANES) + l / LANES;
  let output = min(own, p.outputs - 1u);
  //#if HIDDEN
  let pair = group.y;
  let row = pair / TOP_K;
  let expert = expert_of(row, pair % TOP_K);
  if (expert < p.first || expert >= p.first + p.experts) {
    return;
  }
  let at = (expert - p.first) * p.height + output;
  var first = sum_of_lanes(product(at * p.stride, row, lane, units), lane, l);
  //#if GATED
  var second = sum_of_lanes(product((at + p.outputs) * p.stride, row, lane, units), lane, l);
  //#end
  if (lane > 0u || own >= p.outputs) {
    return;
  }
  //#if INPUT_SCALED
  let weight = weight_of(row, pair % TOP_K);
  first *= weight;
  //#if GATED
  second *= weight;
  //#end
  //#end
  if (p.has_bias != 0u) {
    first += bias[expert * p.height + output];
    //#if GATED
    second += bias[expert * p.height + p.outputs + output];
    //#end
  }
  //#if GATED
  out[pair * p.outputs + output] = act_gated(first, second);
  //#else
  out[pair * p.outputs + output] = act(first);
  //#end
  //#else
  let row = group.y;
  var sum = 0.0;
  var biases = 0.0;
  for (var k = 0u; k < TOP_K; k++) {
    let expert = expert_of(row, k);
    if (expert >= p.first && expert < p.first + p.experts) {
      //#if INPUT_SCALED
      let weight = 1.0;
      //#else
      let weight = weight_of(row, k);
      //#end
      sum += weight * product(((expert - p.first) * p.height + output) * p.stride, row * TOP_K + k, lane, units);
      if (p.has_bias != 0u) {
        biases += weight * bias[expert * p.height + output];
      }
    }
  }
  let total = sum_of_lanes(sum, lane, l);
  if (lane == 0u && own < p.outputs) {
    let to = row * p.outputs + output;
    out[to] = total + biases + select(0.0, out[to], p.add != 0u);
  }
  //#end
}
