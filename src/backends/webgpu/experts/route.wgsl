// Chooses the experts of a row by its logits, one workgroup a row; see routeRow in src/backends/route.ts, which defines the
// numbers. A row of `routes` is the chosen experts and then the weight of each.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> routes: array<f32>;
//#if BIASED
@group(0) @binding(3) var<storage, read> bias: array<f32>;
//#end
//#if SCALED
@group(0) @binding(SCALES_AT) var<storage, read> expert_scales: array<f32>;
//#end
const NONE = -3.4e38;
var<workgroup> scores: array<f32, EXPERTS>;
// Experts that are no longer candidates have NONE.
var<workgroup> keys: array<f32, EXPERTS>;
var<workgroup> values: array<f32, THREADS>;
var<workgroup> indices: array<u32, THREADS>;
var<workgroup> chosen: array<f32, TOP_K>;
//#if GROUPED
var<workgroup> worth: array<f32, GROUPS>;
//#end

fn sum_of_threads(value: f32, l: u32) -> f32 {
  workgroupBarrier();
  values[l] = value;
  for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      values[l] += values[l + half];
    }
  }
  workgroupBarrier();
  return values[0];
}

/// Leaves the largest key in values[0] and the first expert that has it in indices[0].
fn find_best(l: u32) {
  var value = NONE;
  var index = min(l, EXPERTS - 1u);
  for (var e = l; e < EXPERTS; e += THREADS) {
    if (keys[e] > value) {
      value = keys[e];
      index = e;
    }
  }
  workgroupBarrier();
  values[l] = value;
  indices[l] = index;
  for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      let other = values[l + half];
      if (other > values[l] || (other == values[l] && indices[l + half] < indices[l])) {
        values[l] = other;
        indices[l] = indices[l + half];
      }
    }
  }
  workgroupBarrier();
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let row = group.x;
  for (var e = l; e < EXPERTS; e += THREADS) {
    let logit = logits[row * p.stride + e];
    //#if SIGMOID
    scores[e] = 1.0 / (1.0 + exp(-logit));
    //#else
    scores[e] = logit;
    //#end
    keys[e] = logit;
  }
  workgroupBarrier();
  //#if SOFTMAX
  find_best(l);
  let most = values[0];
  var sum = 0.0;
  for (var e = l; e < EXPERTS; e += THREADS) {
    scores[e] = exp(scores[e] - most);
    sum += scores[e];
  }
  let total = sum_of_threads(sum, l);
  for (var e = l; e < EXPERTS; e += THREADS) {
    scores[e] /= total;
  }
  //#end
  //#if !SPARSE
  for (var e = l; e < EXPERTS; e += THREADS) {
    //#if BIASED
    keys[e] = scores[e] + bias[e];
    //#else
    keys[e] = scores[e];
    //#end
  }
  workgroupBarrier();
  //#end
  //#if GROUPED
  let size = EXPERTS / GROUPS;
  for (var g = l; g < GROUPS; g += THREADS) {
    var first = NONE;
    var second = NONE;
    for (var e = g * size; e < (g + 1u) * size; e++) {
      if (keys[e] > first) {
        second = first;
        first = keys[e];
      } else if (keys[e] > second) {
        second = keys[e];
      }
    }
    //#if BEST_TWO
    worth[g] = first + select(second, 0.0, size < 2u);
    //#else
    worth[g] = first;
    //#end
  }
  workgroupBarrier();
  // A group is out when as many as are chosen are worth more, or as much and come before it.
  for (var g = l; g < GROUPS; g += THREADS) {
    var before = 0u;
    for (var other = 0u; other < GROUPS; other++) {
      if (worth[other] > worth[g] || (worth[other] == worth[g] && other < g)) {
        before++;
      }
    }
    if (before >= p.groups_chosen) {
      for (var e = g * size; e < (g + 1u) * size; e++) {
        keys[e] = NONE;
      }
    }
  }
  workgroupBarrier();
  //#end
  for (var k = 0u; k < TOP_K; k++) {
    find_best(l);
    let best = indices[0];
    //#if SPARSE
    let most = values[0];
    var sum = 0.0;
    for (var e = l; e < EXPERTS; e += THREADS) {
      // Compared without a quotient, which is no number where logits are 0.
      let is_far_below = most - scores[e] > 2.0 * p.jitter * max(abs(scores[e]), most);
      if (!is_far_below && keys[e] != NONE) {
        sum += exp(scores[e] - most);
      }
    }
    let total = sum_of_threads(sum, l);
    //#end
    if (l == 0u) {
      //#if SPARSE
      chosen[k] = 1.0 / total;
      //#else
      chosen[k] = scores[best];
      //#end
      routes[row * 2u * TOP_K + k] = f32(best);
      keys[best] = NONE;
    }
    workgroupBarrier();
  }
  if (l > 0u) {
    return;
  }
  //#if CHOSEN_SOFTMAX
  var highest = chosen[0];
  for (var k = 1u; k < TOP_K; k++) {
    highest = max(highest, chosen[k]);
  }
  var of_chosen = 0.0;
  for (var k = 0u; k < TOP_K; k++) {
    chosen[k] = exp(chosen[k] - highest);
    of_chosen += chosen[k];
  }
  for (var k = 0u; k < TOP_K; k++) {
    chosen[k] /= of_chosen;
  }
  //#end
  //#if CHOSEN_SIGMOID
  for (var k = 0u; k < TOP_K; k++) {
    chosen[k] = 1.0 / (1.0 + exp(-chosen[k]));
  }
  //#end
  var factor = p.scale;
  //#if NORMALIZED
  var weights = p.epsilon;
  for (var k = 0u; k < TOP_K; k++) {
    weights += chosen[k];
  }
  factor /= weights;
  //#end
  for (var k = 0u; k < TOP_K; k++) {
    //#if SCALED
    let own = expert_scales[u32(routes[row * 2u * TOP_K + k])];
    routes[row * 2u * TOP_K + TOP_K + k] = chosen[k] * factor * own;
    //#else
    routes[row * 2u * TOP_K + TOP_K + k] = chosen[k] * factor;
    //#end
  }
}
