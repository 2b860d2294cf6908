// Attention of single tokens without subgroups, split over keys. A workgroup has one row, one KV head and a part of the keys, and
// walks THREADS keys at a time. Codes are unpacked once for all GROUP query heads; a KV head that has more is read by PARTS
// workgroups. The first workgroups of a row read 16-bit copies.
//
// An invocation scores one key. In the weighted sum it keeps eight coordinates for every head instead and walks the keys.

//#include decode-bindings

const PAIRS = QUERY_DIM / 2u;
const UNITS = VALUE_DIM / 8u;
const SUM_THREADS = KEY_GROUPS * UNITS;
const ROUND_KEYS = THREADS;
const MASKED = -3.0e38;
//#insert TYPES

// `lut` holds the tables of centroids, and at the end the sums that are added up.
var<workgroup> lut: array<u32, LUT_WORDS>;
// Each key has a word for every head: its weight times the scale of its value.
var<workgroup> weights: array<WORDS, THREADS>;
var<workgroup> tops: array<f32, THREADS>;

// Adds up the sums of the key groups in `lut` and writes one part.
fn add_up(part: u32, l: u32) {
  for (var i = l; i < VALUE_DIM; i += THREADS) {
    let at = i / UNITS * SUM_THREADS + i % UNITS;
    var sum = 0.0;
    for (var n = 0u; n < SUM_THREADS; n += UNITS) {
      sum += bitcast<f32>(lut[at + n]);
    }
    parts[part * VALUE_DIM + i % UNITS * 8u + i / UNITS] = sum;
  }
}

fn highest_at_once(value: f32, l: u32) -> f32 {
  workgroupBarrier();
  tops[l] = value;
  for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      tops[l] = max(tops[l], tops[l + half]);
    }
  }
  workgroupBarrier();
  return tops[0];
}
fn total_at_once(value: f32, l: u32) -> f32 {
  workgroupBarrier();
  tops[l] = value;
  for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      tops[l] += tops[l + half];
    }
  }
  workgroupBarrier();
  return tops[0];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  //#include decode-keys

  //#insert ACCUMULATORS

  //#insert TABLES
  workgroupBarrier();

  let unit = l % UNITS;
  let key_group = l / UNITS;
  for (; base < high; base += ROUND_KEYS) {
    //#insert SCORES
    //#insert SOFTMAX
    workgroupBarrier();
    if (l < SUM_THREADS) {
      //#insert WEIGHTED_SUM
    }
    workgroupBarrier();
  }

  //#insert OUTPUT
}
