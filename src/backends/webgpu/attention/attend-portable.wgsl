// Attention of single tokens without subgroups, split over keys. One workgroup: one row, one KV head, one part of its keys,
// THREADS keys at a time. Codes are unpacked once for all GROUP query heads. The first workgroups of a row read the 16-bit copies.
//
// An invocation scores one key. The weighted sum goes by coordinates: it keeps eight of them for every head and walks the keys.
struct Params {
  list_at: u32,
  rows_at: u32,
  spans_at: u32,
  // Parts of the codes, and those of the copies, which come first.
  splits: u32,
  copy_splits: u32,
  window: u32,
  sinks: u32,
  sliding: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> pages: array<u32>;
@group(0) @binding(3) var<storage, read> pages4: array<vec4u>;
@group(0) @binding(4) var<storage, read> exact4: array<vec4u>;
@group(0) @binding(5) var<storage, read> query: array<vec2f>;
@group(0) @binding(6) var<storage, read> centroids: array<f32>;
@group(0) @binding(7) var<storage, read_write> parts: array<f32>;
@group(0) @binding(8) var<storage, read_write> stats: array<f32>;

const PAIRS = HEAD_DIM / 2u;
const UNITS = HEAD_DIM / 8u;
const SUM_THREADS = KEY_GROUPS * UNITS;
const MASKED = -3.0e38;
//#insert TYPES

// The tables of centroids; in the end, sums that are added up.
var<workgroup> lut: array<u32, LUT_WORDS>;
// Weights of the keys for each head, as the words that the weighted sum multiplies with.
var<workgroup> weights: array<WORDS, THREADS>;
var<workgroup> tops: array<f32, THREADS>;

// Adds up what the key groups left in `lut` and writes one part.
fn add_up(part: u32, l: u32) {
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    let at = i / UNITS * SUM_THREADS + i % UNITS;
    var sum = 0.0;
    for (var n = 0u; n < SUM_THREADS; n += UNITS) {
      sum += bitcast<f32>(lut[at + n]);
    }
    parts[part * HEAD_DIM + i % UNITS * 8u + i / UNITS] = sum;
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
  let kv_head = group.x;
  let split = group.y;
  let row = step[p.list_at + group.z];
  let end = step[p.rows_at + row * 4u + 1u] + 1u;
  let span = p.spans_at + step[p.rows_at + row * 4u + 2u] * 4u;
  let main_table = step[span];
  let first = select(0u, end - p.sliding, p.sliding > 0u && end > p.sliding);
  let first_head = row * NUM_HEADS + kv_head * GROUP;

  // Keys of this workgroup: low .. high - 1, from `base` on.
  //#if HAS_EXACT
  let exact_table = step[span + 1u];
  let recent = max(select(0u, end - p.window, end > p.window), step[span + 2u]);
  let is_exact = split < p.copy_splits;
  // Wraps where there are no codes to read.
  let part = split - p.copy_splits;
  let coded = max(first, p.sinks);
  let total_splits = p.splits + p.copy_splits;
  //#else
  let recent = end;
  let part = split;
  let coded = first;
  let total_splits = p.splits;
  //#end
  let origin = coded / 64u * 64u;
  let passes = select(0u, (recent - origin + THREADS - 1u) / THREADS, recent > coded);
  var base = origin + passes * part / p.splits * THREADS;
  var low = max(coded, base);
  var high = min(recent, origin + passes * (part + 1u) / p.splits * THREADS);
  //#if HAS_EXACT
  // Copies are counted from the sinks on, as if the recent ones followed at once.
  let sink_end = max(first, min(p.sinks, end));
  let gap = max(recent, sink_end) - sink_end;
  if (is_exact) {
    let share = (end - gap - first + p.copy_splits - 1u) / p.copy_splits;
    base = first + split * share;
    low = base;
    high = min(base + share, end - gap);
  }
  //#end
  high = max(high, low);

  //#insert ACCUMULATORS

  //#insert TABLES
  workgroupBarrier();

  let unit = l % UNITS;
  let key_group = l / UNITS;
  for (; base < high; base += THREADS) {
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
