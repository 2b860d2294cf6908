// Attention of single tokens, split over keys. A workgroup has one row, one KV head and a part of the keys. Each of its subgroups
// walks PASS_KEYS keys at a time with a softmax of its own, and the subgroups are joined at the end. Codes are unpacked once for
// all GROUP query heads; a KV head that has more is read by PARTS workgroups. The first workgroups of a row read sinks and window.
//
// LANES neighbouring lanes score a key together, and each lane owns some of the keys for the softmax. In the weighted sum a lane
// stands for coordinates instead: it keeps eight of them for every head and walks the keys, whose owners hand it their weights.
//#if HALF
enable f16;
//#end
enable subgroups;

//#include decode-bindings

const PAIRS = QUERY_DIM / 2u;
const UNITS = VALUE_DIM / 8u;
const SUBGROUPS = THREADS / SUBGROUP;
const PASS_KEYS = OWN * SUBGROUP;
const ROUND_KEYS = SUBGROUPS * PASS_KEYS;
// SUM_LANES lanes of a subgroup have coordinates of their own. In all, they leave SUM_SLOTS sums of each of a unit's coordinates.
const SUM_LANES = min(SUBGROUP, KEY_GROUPS * UNITS);
const SUM_SLOTS = SUBGROUPS * KEY_GROUPS * UNITS;
const MASKED = -3.0e38;
//#insert TYPES

// `lut` holds the tables of centroids, and at the end the sums that are added up.
var<workgroup> lut: array<u32, LUT_WORDS>;
var<workgroup> tops: array<f32, SUBGROUPS * GROUP>;
//#if HALF
var<workgroup> half_query: array<WORDS, PAIRS>;
//#end

// Adds up the sums that the lanes left in `lut` and writes one part.
fn add_up(part: u32, l: u32) {
  for (var i = l; i < VALUE_DIM; i += THREADS) {
    let at = i / UNITS * SUM_SLOTS + i % UNITS;
    var sum = 0.0;
    for (var n = 0u; n < SUM_SLOTS; n += UNITS) {
      sum += bitcast<f32>(lut[at + n]);
    }
    parts[part * VALUE_DIM + i % UNITS * 8u + i / UNITS] = sum;
  }
}
fn leave_stats(part: u32, highest: f32, g: u32) {
  var total = 0.0;
  for (var i = 0u; i < SUBGROUPS; i++) {
    total += tops[g * SUBGROUPS + i];
  }
  stats[part * 2u] = highest;
  stats[part * 2u + 1u] = total;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  //#include decode-keys

  //#insert TABLES
  //#if HALF
  //#insert QUERY
  //#end
  workgroupBarrier();

  let lane = l % SUBGROUP;
  let key_group = min(lane / UNITS, KEY_GROUPS - 1u);
  let slot = (l / SUBGROUP * KEY_GROUPS + key_group) * UNITS + lane % UNITS;
  //#insert ACCUMULATORS

  // All subgroups make the same number of rounds: beyond `high` they read the last key and give it no weight.
  for (var round = base; round < high; round += ROUND_KEYS) {
    let base = round + l / SUBGROUP * PASS_KEYS;
    //#insert PASS
  }

  //#insert OUTPUT
}
