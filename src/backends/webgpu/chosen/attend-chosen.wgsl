// Attention of rows to the tokens of a list, split over the list. A workgroup has one row, one KV head and a part of the list, and walks THREADS
// tokens at a time. Rows of keys and values are read once for all GROUP query heads; a KV head that has more is read by PARTS workgroups.
//
// An invocation scores one token. In the weighted sum it keeps eight coordinates for every head instead and walks the tokens.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> chosen: array<f32>;
@group(0) @binding(3) var<storage, read> pages4: array<vec4u>;
@group(0) @binding(4) var<storage, read> residual4: array<vec4u>;
@group(0) @binding(5) var<storage, read> query: array<vec2f>;
@group(0) @binding(6) var<storage, read> centroids: array<f32>;
@group(0) @binding(7) var<storage, read_write> parts: array<f32>;
@group(0) @binding(8) var<storage, read_write> stats: array<f32>;

const PAIRS = QUERY_DIM / 2u;
const UNITS = VALUE_DIM / 8u;
const SUM_THREADS = KEY_GROUPS * UNITS;
const MASKED = -3.0e38;
//#insert TYPES

// `lut` holds the tables of centroids, and at the end the sums that are added up.
var<workgroup> lut: array<u32, LUT_WORDS>;
// Each token has a word for every head: its weight times the scale of its value.
var<workgroup> weights: array<WORDS, THREADS>;
var<workgroup> tokens: array<u32, THREADS>;
var<workgroup> tops: array<f32, THREADS>;

//#include portable-sums

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  var row = p.first_row + group.z;
  if (p.use_list != 0u) {
    row = step[p.list_at + group.z];
  }
  let kv_head = group.x / PARTS;
  let split = group.y;
  let total_splits = p.splits;
  // If GROUP does not divide KV_GROUP, the last part shares heads with the one before, and both write the same numbers.
  let head_of_row = kv_head * KV_GROUP + min(group.x % PARTS * GROUP, KV_GROUP - GROUP);
  let first_head = row * NUM_HEADS + head_of_row;
  // Only rows that are attended have parts.
  let first_part = group.z * NUM_HEADS + head_of_row;
  //#include row-place
  let list = (row * p.lists + select(0u, kv_head, p.lists > 1u)) * p.count;
  // A row has no more tokens than positions.
  let high = min(min(split * p.share + p.share, p.count), position + 1u);

  //#insert ACCUMULATORS

  //#insert TABLES
  workgroupBarrier();

  let unit = l % UNITS;
  let key_group = l / UNITS;
  for (var base = split * p.share; base < high; base += THREADS) {
    let entry = chosen[list + min(base + l, high - 1u)];
    // Behind the end of the list the first token is read, and gets no weight.
    let key = u32(max(entry, 0.0));
    //#if HAS_RESIDUAL
    let is_residual = key < p.sinks || key >= recent;
    tokens[l] = (key << 1u) | u32(is_residual);
    //#else
    tokens[l] = key << 1u;
    //#end
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
