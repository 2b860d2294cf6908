// The first half of choosing a token: a workgroup looks at a chunk of a row's logits, ITEMS an invocation, and leaves the largest,
// the sum of exponentials, the first token whose logit is not finite and, to draw from, the `keep` largest.
//#if SUBGROUPS
enable subgroups;
//#end
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> logits: array<u32>;
// [row][chunk] holds the largest key, its token and the first token that is not finite (both reversed), and the sum.
@group(0) @binding(2) var<storage, read_write> partials: array<vec4u>;
//#if SELECT
// [row][chunk][keep] holds keys and reversed tokens, with zeros where the chunk has fewer.
@group(0) @binding(3) var<storage, read_write> candidates: array<vec2u>;
var<workgroup> num_kept: atomic<u32>;
//#end
//#insert SELECT
var<workgroup> best: array<vec2u, THREADS>;
var<workgroup> sums: array<f32, THREADS>;
var<workgroup> not_finite: atomic<u32>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) l: u32,
//#if SUBGROUPS
  @builtin(subgroup_invocation_id) lane: u32,
//#end
) {
//#if !SUBGROUPS
  let lane = 0u;
//#end
  var own: array<vec2u, ITEMS>;
  var largest = vec2u(0u);
  for (var item = 0u; item < ITEMS; item++) {
    let token = (group.x * ITEMS + item) * THREADS + l;
    own[item] = vec2u(0u);
    if (token < p.vocab) {
      own[item] = vec2u(key_of(logits[(p.first_row + group.y) * p.vocab + token]), LAST - token);
      if (own[item].x == 0u) {
        atomicMax(&not_finite, own[item].y);
      }
      if (is_larger(own[item], largest)) {
        largest = own[item];
      }
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
  for (var item = 0u; item < ITEMS; item++) {
    if (own[item].x > 0u) {
      sum += weight_of(own[item].x, largest.x, 1.0);
    }
  }
  sums[l] = sum;
  for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      sums[l] += sums[l + half];
    }
  }
  let chunk = group.y * groups.x + group.x;
  if (l == 0u) {
    partials[chunk] = vec4u(largest, atomicLoad(&not_finite), bitcast<u32>(sums[0]));
  }
//#if SELECT
  entries = own;
  let bound = smallest_kept(p.keep, l, lane);
  for (var item = 0u; item < ITEMS; item++) {
    if (own[item].y > 0u && !is_larger(bound, own[item])) {
      candidates[chunk * p.keep + atomicAdd(&num_kept, 1u)] = own[item];
    }
  }
  workgroupBarrier();
  for (var slot = atomicLoad(&num_kept) + l; slot < p.keep; slot += THREADS) {
    candidates[chunk * p.keep + slot] = vec2u(0u);
  }
//#end
}
