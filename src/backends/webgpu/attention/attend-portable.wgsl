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

//#include portable-sums

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
