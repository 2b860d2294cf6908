// Maps logits to integers with the same order, and selects the largest entries of a workgroup.
const NONE = 0xffffffffu;
// Tokens are reversed (LAST - token), so that of equal logits the lowest token is the largest entry; 0 is no token.
const LAST = 0xffffffu;

// Returns 0 for a logit that is not finite, otherwise a key that is larger for larger values; +0 and −0 have the same.
fn key_of(bits: u32) -> u32 {
  if ((bits & 0x7f800000u) == 0x7f800000u) {
    return 0u;
  }
  let positive = select(bits, 0u, bits == 0x80000000u);
  return select(positive | 0x80000000u, ~positive, (positive >> 31u) == 1u);
}

fn value_of(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, (key >> 31u) == 1u));
}

// Returns exp((value - largest) / temperature), which is exactly 1 for the largest.
fn weight_of(key: u32, largest: u32, temperature: f32) -> f32 {
  let below = max(value_of(key) - value_of(largest), -1e30);
  return select(exp(below / temperature), 1.0, key == largest);
}

fn is_larger(a: vec2u, b: vec2u) -> bool {
  return a.x > b.x || (a.x == b.x && a.y > b.y);
}
//#if SELECT

// An entry of this invocation is a key and the reversed token.
var<private> entries: array<vec2u, ITEMS>;
var<workgroup> counts: array<atomic<u32>, 56>;
var<workgroup> is_done: u32;

// Returns the keep-th largest entry of the workgroup, or zero when there are fewer. It is found bit by bit from the top, 32 bits of
// key and 24 of token: a bit is set when enough entries are at least as large. The search ends once exactly `keep` are left.
fn smallest_kept(keep: u32, local: u32, lane: u32) -> vec2u {
  var bound = vec2u(0u);
  var reached = 0u;
  for (var byte = 0u; byte < 7u; byte++) {
    for (var i = 0u; i < 8u; i++) {
      let bit = byte * 8u + i;
      let mask = 1u << ((select(55u, 31u, bit < 32u) - bit) & 31u);
      let trial = bound | select(vec2u(0u, mask), vec2u(mask, 0u), bit < 32u);
      var count = 0u;
      for (var item = 0u; item < ITEMS; item++) {
        count += select(1u, 0u, is_larger(trial, entries[item]));
      }
//#if SUBGROUPS
      count = subgroupAdd(count);
      if (lane == 0u && count > 0u) {
//#else
      if (count > 0u) {
//#end
        atomicAdd(&counts[bit], count);
      }
      workgroupBarrier();
      let total = atomicLoad(&counts[bit]);
      if (total >= keep) {
        bound = trial;
        reached = total;
      }
    }
    if (local == 0u) {
      is_done = u32(reached == keep);
    }
    if (workgroupUniformLoad(&is_done) != 0u) {
      break;
    }
  }
  return bound;
}
//#end
