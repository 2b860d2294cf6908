// The second half of choosing a token: a workgroup merges what sample-partial.wgsl left of each chunk of a row, and draws.
//#if SUBGROUPS
enable subgroups;
//#end
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<u32>;
@group(0) @binding(2) var<storage, read> partials: array<vec4u>;
// A row has its token, 1 + the first token whose logit is not finite (0 if there is none), the log-probability (or that logit), 0.
@group(0) @binding(3) var<storage, read_write> samples: array<vec4u>;
//#if SELECT
@group(0) @binding(4) var<storage, read> candidates: array<vec2u>;
var<workgroup> num_kept: atomic<u32>;
var<workgroup> unsorted: array<vec2u, MAX_KEEP>;
var<workgroup> sorted: array<vec2u, MAX_KEEP>;
var<workgroup> weights: array<f32, MAX_KEEP>;
var<workgroup> sums_to: array<f32, MAX_KEEP>;
//#end
//#insert SELECT
var<workgroup> best: array<vec2u, THREADS>;
var<workgroup> sums: array<f32, THREADS>;
var<workgroup> not_finite: atomic<u32>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) l: u32,
//#if SUBGROUPS
  @builtin(subgroup_invocation_id) lane: u32,
//#end
) {
//#if !SUBGROUPS
  let lane = 0u;
//#end
  let row = p.rows_from + group.x;
  var largest = vec2u(0u);
  for (var chunk = l; chunk < p.chunks; chunk += THREADS) {
    let partial = partials[row * p.chunks + chunk];
    if (is_larger(partial.xy, largest)) {
      largest = partial.xy;
    }
    if (partial.z > 0u) {
      atomicMax(&not_finite, partial.z);
    }
  }
  best[l] = largest;
  for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half && is_larger(best[l + half], best[l])) {
      best[l] = best[l + half];
    }
  }
  workgroupBarrier();
  largest = best[0];
  var sum = 0.0;
  for (var chunk = l; chunk < p.chunks; chunk += THREADS) {
    let partial = partials[row * p.chunks + chunk];
    if (partial.x > 0u) {
      sum += bitcast<f32>(partial.w) * weight_of(partial.x, largest.x, 1.0);
    }
  }
  sums[l] = sum;
  for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      sums[l] += sums[l + half];
    }
  }
  var chosen = largest;
//#if SELECT
  for (var item = 0u; item < ITEMS; item++) {
    let at = item * THREADS + l;
    entries[item] = vec2u(0u);
    if (at < p.chunks * p.keep) {
      entries[item] = candidates[row * p.chunks * p.keep + at];
    }
  }
  let bound = smallest_kept(p.keep, l, lane);
  for (var item = 0u; item < ITEMS; item++) {
    if (entries[item].y > 0u && !is_larger(bound, entries[item])) {
      unsorted[atomicAdd(&num_kept, 1u)] = entries[item];
    }
  }
  workgroupBarrier();
  if (l < p.keep) {
    let own = unsorted[l];
    var rank = 0u;
    for (var other = 0u; other < p.keep; other++) {
      rank += u32(is_larger(unsorted[other], own));
    }
    sorted[rank] = own;
    weights[rank] = weight_of(own.x, largest.x, p.temperature);
  }
  workgroupBarrier();
  if (l < p.keep) {
    // Every invocation adds from the beginning, because that is the order in which the host adds.
    var sum_to = 0.0;
    for (var i = 0u; i <= l; i++) {
      sum_to += weights[i];
    }
    sums_to[l] = sum_to;
  }
  workgroupBarrier();
  if (l == 0u) {
    var kept = 1u;
    let limit = p.top_p * sums_to[p.keep - 1u];
    while (kept < p.keep && (p.top_p >= 1.0 || sums_to[kept - 1u] < limit) && weights[kept] >= p.min_p) {
      kept++;
    }
    let drawn = p.uniforms[group.x >> 2u][group.x & 3u] * sums_to[kept - 1u];
    var i = 0u;
    while (i + 1u < kept && weights[i + 1u] > 0.0 && sums_to[i] <= drawn) {
      i++;
    }
    chosen = sorted[i];
  }
//#end
  if (l == 0u) {
    let first = atomicLoad(&not_finite);
    if (first > 0u) {
      samples[row] = vec4u(LAST - chosen.y, LAST - first + 1u, logits[(p.first_row + row) * p.vocab + LAST - first], 0u);
    } else {
      let logprob = value_of(chosen.x) - value_of(largest.x) - log(sums[0]);
      samples[row] = vec4u(LAST - chosen.y, 0u, bitcast<u32>(logprob), 0u);
    }
  }
}
