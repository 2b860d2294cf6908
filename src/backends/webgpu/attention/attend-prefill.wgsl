// Attention of a long span over its history and itself. A workgroup has one KV head and ROWS query rows, which are GROUP query
// heads of ROWS / GROUP positions, and walks every key that these may read, KEYS at a time. PARTS workgroups share the query heads
// of a KV head. A tile of keys is unpacked once for all rows.
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
// Those of queries and keys, the rotary parts of latent attention included.
const QUADS = QUERY_DIM / 4u;
const UNITS = HEAD_DIM / 8u;
const VALUE_QUADS = VALUE_DIM / 4u;
const VALUE_UNITS = VALUE_DIM / 8u;
//#if HAS_ROTARY
const ROTARY_UNITS = (QUERY_DIM - HEAD_DIM) / 8u;
//#end
// Lines are odd numbers of quads apart, so that those which are read side by side begin in different banks.
const PITCH = max(QUADS, VALUE_QUADS) + 1u;
const SCORE_PITCH = ROWS / 4u + 1u;
const MASKED = -3.0e38;

var<workgroup> lut: array<u32, TABLE>;
// `kv` holds the keys of a tile, later its values, as [key][quad].
var<workgroup> kv: array<vec4f, KEYS * PITCH>;
// `scores` holds scores, later weights, as [key][row].
var<workgroup> scores: array<vec4f, KEYS * SCORE_PITCH>;
// Four invocations share a row's softmax: each leaves its maximum here, and at the end its sum.
var<workgroup> quarters: array<f32, ROWS * 4u>;
var<workgroup> rescale: array<vec4f, ROWS / 4u>;

//#insert READERS

//#include prefill-keys

//#insert STAGING

fn score_of(dot: vec4f, tile: Tile, key: u32, position: u32, residual_start: u32) -> f32 {
  //#if SOFTCAP
  return select(MASKED, capped((dot.x + dot.y) + (dot.z + dot.w)), is_read(tile.first + key, position, tile.is_residual, residual_start));
  //#else
  return select(MASKED, (dot.x + dot.y) + (dot.z + dot.w), is_read(tile.first + key, position, tile.is_residual, residual_start));
  //#end
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let kv_head = group.x / PARTS;
  // If GROUP does not divide KV_GROUP, the last part shares heads with the one before, and both write the same numbers.
  let first_head = kv_head * KV_GROUP + min(group.x % PARTS * GROUP, KV_GROUP - GROUP);
  let first = group.y * POSITIONS;
  let low_row = p.start + first;
  let high_row = p.start + min(first + POSITIONS, p.count) - 1u;

  //#insert TABLES

  let ranges = ranges_of(low_row, high_row);
  let residual_start = ranges.residual_start;
  let tiles = tiles_in(ranges);
  let first_tile = tiles * group.z / p.splits;
  let end_tile = tiles * (group.z + 1u) / p.splits;

  // An invocation computes the scores of four rows with every sixteenth key.
  let key_lane = l % 16u;
  let row4 = l / 16u * 4u;
  var query: array<u32, 4>;
  var position: array<u32, 4>;
  for (var r = 0u; r < 4u; r++) {
    let n = min(first + (row4 + r) / GROUP, p.count - 1u);
    query[r] = ((p.row + n) * NUM_HEADS + first_head + (row4 + r) % GROUP) * QUADS;
    position[r] = p.start + n;
  }
  // It does the softmax of one row for a quarter of the keys.
  let row = l % ROWS;
  let quarter = l / ROWS * (KEYS / 4u);
  var highest = MASKED;
  var sum = 0.0;
  // It keeps the sums of BAND rows for every LANESth quad of coordinates.
  let lane = l % LANES;
  let band = l / LANES * (BAND / 4u);
  //#insert ACCUMULATORS

  for (var t = first_tile; t < end_tile; t++) {
    let tile = tile_at(ranges, t);
    stage_k(tile, ranges, kv_head, l);
    //#if HAS_ROTARY
    stage_r(tile, ranges, kv_head, l);
    //#end
    workgroupBarrier();

    //#insert SCORES
    workgroupBarrier();

    var peak = MASKED;
    for (var k = 0u; k < KEYS / 4u; k++) {
      peak = max(peak, scores[(quarter + k) * SCORE_PITCH + row / 4u][row % 4u]);
    }
    quarters[l] = peak;
    stage_v(tile, ranges, kv_head, l);
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
    let at = ((n * NUM_HEADS + first_head + row % GROUP) * p.all_parts + p.first_part + group.z) * 2u;
    stats[at] = highest;
    stats[at + 1u] = (sum + quarters[row + ROWS]) + (quarters[row + 2u * ROWS] + quarters[row + 3u * ROWS]);
  }
  //#insert OUTPUT
}
