// Attention of a long span over its history and itself. One workgroup: one KV head, ROWS query rows (GROUP query heads of
// ROWS / GROUP positions; PARTS workgroups share a KV head's out), every key they may read, KEYS at a time. A key tile is
// unpacked once for all rows.
// Keys come as a stream of codes and a stream of 16-bit copies; a row takes each of its keys from one of the two.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> pages: array<u32>;
@group(0) @binding(3) var<storage, read> pages4: array<vec4u>;
@group(0) @binding(4) var<storage, read> residual4: array<vec4u>;
@group(0) @binding(5) var<storage, read> centroids: array<f32>;
@group(0) @binding(6) var<storage, read> q: array<vec4f>;
@group(0) @binding(7) var<storage, read_write> parts: array<vec4f>;
@group(0) @binding(8) var<storage, read_write> stats: array<f32>;

const THREADS = ROWS * 4u;
const POSITIONS = ROWS / GROUP;
const QUADS = HEAD_DIM / 4u;
const UNITS = HEAD_DIM / 8u;
// Odd numbers of quads: rows that are read side by side begin in different banks.
const PITCH = QUADS + 1u;
const SCORE_PITCH = ROWS / 4u + 1u;
const MASKED = -3.0e38;

var<workgroup> lut: array<u32, TABLE>;
// Keys, then values: [key][quad].
var<workgroup> kv: array<vec4f, KEYS * PITCH>;
// Scores, then weights: [key][row].
var<workgroup> scores: array<vec4f, KEYS * SCORE_PITCH>;
// Of each row: four maxima, in the end four sums.
var<workgroup> quarters: array<f32, ROWS * 4u>;
var<workgroup> rescale: array<vec4f, ROWS / 4u>;

//#insert READERS

struct Tile {
  first: u32,
  is_residual: bool,
  // Position of the last row; later keys are not there.
  last: u32,
  page: u32,
}

//#insert STAGING

// First tile and number of tiles that hold keys low .. end - 1.
fn tiles_of(low: u32, end: u32) -> vec2u {
  let first = low / KEYS;
  return vec2u(first, select(0u, (end + KEYS - 1u) / KEYS - first, end > low));
}

fn below(a: u32, b: u32) -> u32 {
  return select(0u, a - b, a > b);
}

fn score_of(dot: vec4f, tile: Tile, key: u32, position: u32, residual_start: u32) -> f32 {
  let j = tile.first + key;
  var is_read = j <= position && (p.sliding == 0u || j + p.sliding > position);
  //#if HAS_RESIDUAL
  is_read = is_read && (j < p.sinks || (j + p.window > position && j >= residual_start)) == tile.is_residual;
  //#end
  return select(MASKED, (dot.x + dot.y) + (dot.z + dot.w), is_read);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let kv_head = group.x / PARTS;
  // Where parts do not come out even, the last one shares heads with the one before: both write the same.
  let first_head = kv_head * KV_GROUP + min(group.x % PARTS * GROUP, KV_GROUP - GROUP);
  let first = group.y * POSITIONS;
  let low_row = p.start + first;
  let high_row = p.start + min(first + POSITIONS, p.count) - 1u;

  //#insert TABLES

  // Tiles of the three ranges of keys: codes, sinks, recent copies.
  let low = select(0u, below(low_row + 1u, p.sliding), p.sliding > 0u);
  let main_table = step[p.record];
  let residual_start = step[p.record + 2u];
  //#if HAS_RESIDUAL
  let residual_table = step[p.record + 1u];
  let residual_entries = step[p.record + 3u];
  let codes = tiles_of(max(low, p.sinks), min(high_row + 1u, max(below(high_row + 1u, p.window), residual_start)));
  let sinks = tiles_of(low, min(p.sinks, high_row + 1u));
  let recent_low = max(max(low, residual_start), below(low_row + 1u, p.window));
  // A tile that the sinks have read has been read for all its copies.
  let recent = tiles_of(
    max(recent_low, select(0u, (sinks.x + sinks.y) * KEYS, sinks.y > 0u)),
    select(0u, high_row + 1u, p.window > 0u),
  );
  //#else
  let residual_table = 0u;
  let residual_entries = 0u;
  let codes = tiles_of(low, high_row + 1u);
  let sinks = vec2u(0u);
  let recent = vec2u(0u);
  //#end
  let tiles = codes.y + sinks.y + recent.y;
  let first_tile = tiles * group.z / p.splits;
  let end_tile = tiles * (group.z + 1u) / p.splits;

  // The scores an invocation computes: four rows, every KEY_LANESth key.
  let key_lane = l % 16u;
  let row4 = l / 16u * 4u;
  var query: array<u32, 4>;
  var position: array<u32, 4>;
  for (var r = 0u; r < 4u; r++) {
    let n = min(first + (row4 + r) / GROUP, p.count - 1u);
    query[r] = ((p.row + n) * NUM_HEADS + first_head + (row4 + r) % GROUP) * QUADS;
    position[r] = p.start + n;
  }
  // The quarter of a row's softmax it does.
  let row = l % ROWS;
  let quarter = l / ROWS * (KEYS / 4u);
  var highest = MASKED;
  var sum = 0.0;
  // The sums it keeps: BAND rows, every LANESth quad.
  let lane = l % LANES;
  let band = l / LANES * (BAND / 4u);
  //#insert ACCUMULATORS

  for (var t = first_tile; t < end_tile; t++) {
    var tile: Tile;
    tile.last = high_row;
    tile.is_residual = t >= codes.y;
    tile.first = (codes.x + t) * KEYS;
    if (tile.is_residual) {
      let e = t - codes.y;
      tile.first = select(recent.x + e - sinks.y, sinks.x + e, e < sinks.y) * KEYS;
    } else {
      tile.page = (step[main_table + tile.first / PAGE_TOKENS] & SLOT_MASK) * PAGE_BYTES;
    }
    stage_k(tile, kv_head, residual_table, residual_entries, l);
    workgroupBarrier();

    //#insert SCORES
    workgroupBarrier();

    var peak = MASKED;
    for (var k = 0u; k < KEYS / 4u; k++) {
      peak = max(peak, scores[(quarter + k) * SCORE_PITCH + row / 4u][row % 4u]);
    }
    quarters[l] = peak;
    stage_v(tile, kv_head, residual_table, residual_entries, l);
    workgroupBarrier();

    let before = highest;
    highest = max(
      max(highest, quarters[row]),
      max(quarters[row + ROWS], max(quarters[row + 2u * ROWS], quarters[row + 3u * ROWS])),
    );
    let factor = exp(before - highest);
    sum *= factor;
    for (var k = 0u; k < KEYS / 4u; k++) {
      let at = (quarter + k) * SCORE_PITCH + row / 4u;
      let score = scores[at][row % 4u];
      let weight = select(exp(score - highest), 0.0, score == MASKED);
      scores[at][row % 4u] = weight;
      sum += weight;
    }
    if (l < ROWS) {
      rescale[row / 4u][row % 4u] = factor;
    }
    workgroupBarrier();

    //#insert WEIGHTED_SUM
    workgroupBarrier();
  }

  quarters[l] = sum;
  workgroupBarrier();
  let n = first + row / GROUP;
  if (l < ROWS && row < POSITIONS * GROUP && n < p.count) {
    let at = (((p.row + n) * NUM_HEADS + first_head + row % GROUP) * p.splits + group.z) * 2u;
    stats[at] = highest;
    stats[at + 1u] = (sum + quarters[row + ROWS]) + (quarters[row + 2u * ROWS] + quarters[row + 3u * ROWS]);
  }
  //#insert OUTPUT
}
