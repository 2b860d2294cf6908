// Attention of a long span over its history and itself on matrix units, f16 × f16 → f32 of 16 × 16 × 16.
//
// One workgroup: one KV head, ROWS query rows (GROUP query heads of ROWS / GROUP positions; PARTS workgroups share a KV head's
// out), every key they may read, KEYS at a time. Codes are unpacked to f16 in workgroup memory once for all rows. A subgroup
// keeps its rows' queries and sums as matrices in registers. What a matrix holds can be looked at through memory only, so
// scores go there, and an invocation turns those of its own row into weights: nothing is handed from lane to lane.
//
// Sums cannot be scaled row by row where they are. So a row's weights stay relative to an older maximum until a score exceeds
// that by HEADROOM, which after a row's first keys is rare; then the sums go through workgroup memory, for all rows at once.
//
// A turn multiplies the values of a tile and the keys of the next without a barrier between; what is stored for the turn after
// was loaded before that. Lines lie so far apart that those read side by side begin in different banks.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
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

const POSITIONS = ROWS / GROUP;
const THREADS = ROWS;
const QUADS = HEAD_DIM / 4u;
// Values from a key's line to the next, and from a row's line of weights.
const PITCH = HEAD_DIM + 8u;
const WEIGHT_PITCH = KEYS + 8u;
const VALUES_AT = KEYS * PITCH;
const WEIGHTS_AT = 2u * KEYS * PITCH;
const MASKED = -3.0e38;
// Above every masked score, so that a difference to it is a weight of 0; below every other.
const FLOOR = -1.0e38;
// In powers of two: weights of up to 256 are far from f16's largest.
const HEADROOM = 8.0;
const LN2 = 0.6931471805599453;
const LOG2E = 1.4426950408889634;

// Each a multiple of sixteen bytes, which matrices have to be aligned to.
var<workgroup> lut: array<u32, TABLE>;
// Keys [key][PITCH], values [key][PITCH], weights [row][WEIGHT_PITCH].
var<workgroup> halves: array<f16, WEIGHTS_AT + ROWS * WEIGHT_PITCH>;
// Scores [key][SCORE_PITCH]; sums on their way, a coordinate in the place of a key.
var<workgroup> scores: array<f32, KEYS * SCORE_PITCH>;
// The first: one more than the last tile in which a row's scores outgrew its maximum.
var<workgroup> outgrown: array<atomic<u32>, 4>;

//#include prefill-keys

// Eight halves; a compiler that knows their alignment makes one store of them.
fn put(at: u32, a: vec2<f16>, b: vec2<f16>, c: vec2<f16>, d: vec2<f16>) {
  halves[at] = a.x;
  halves[at + 1u] = a.y;
  halves[at + 2u] = b.x;
  halves[at + 3u] = b.y;
  halves[at + 4u] = c.x;
  halves[at + 5u] = c.y;
  halves[at + 6u] = d.x;
  halves[at + 7u] = d.y;
}

// Whether every row reads every key of a tile of codes.
fn is_plain(tile: Tile, ranges: Ranges, low_row: u32) -> bool {
  var is_whole = !tile.is_residual && tile.first + KEYS <= low_row + 1u;
  is_whole = is_whole && (p.sliding == 0u || tile.first + p.sliding > ranges.last);
  //#if HAS_RESIDUAL
  let end = tile.first + KEYS;
  is_whole = is_whole && tile.first >= p.sinks && (end + p.window <= low_row + 1u || end <= ranges.residual_start);
  //#end
  return is_whole;
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) l: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  let kv_head = group.x / PARTS;
  // Where parts do not come out even, the last one shares heads with the one before: both write the same.
  let first_head = kv_head * KV_GROUP + min(group.x % PARTS * GROUP, KV_GROUP - GROUP);
  // Rows that read the most keys begin first.
  let first = (groups.y - 1u - group.y) * POSITIONS;
  let low_row = p.start + first;
  let high_row = p.start + min(first + POSITIONS, p.count) - 1u;

  //#insert TABLES
  if (l == 0u) {
    atomicStore(&outgrown[0], 0u);
  }

  let ranges = ranges_of(low_row, high_row);
  let tiles = tiles_in(ranges);
  let first_tile = tiles * group.z / p.splits;
  let end_tile = tiles * (group.z + 1u) / p.splits;

  // The row of this invocation, and the first one of its subgroup.
  let n = min(first + l / GROUP, p.count - 1u);
  let head = first_head + l % GROUP;
  let row0 = subgroup * SUBGROUP_ROWS;
  let position = p.start + n;
  var highest = MASKED;
  var sum = 0.0;
  //#insert DECLARE

  let query = ((p.row + n) * NUM_HEADS + head) * QUADS;
  //#insert QUERIES

  if (first_tile < end_tile) {
    let last_tile = end_tile - 1u;
    // Pages are looked up a turn before they are read.
    var tile = tile_at(ranges, first_tile);
    var next = tile_at(ranges, min(first_tile + 1u, last_tile));
    var after = tile_at(ranges, min(first_tile + 2u, last_tile));
    {
      let of_k = tile;
      let of_v = tile;
      //#insert FETCH
      //#insert KEEP
    }
    {
      let of_k = next;
      let of_v = tile;
      //#insert FETCH
    }
    workgroupBarrier();
    {
      //#insert SCORES
    }
    var t = first_tile;
    while (t < end_tile) {
      // Relative to what weights are; whether scores have outgrown it; sums of weights.
      var is_outgrown = false;
      var has_outgrown = 0u;
      //#insert DECLARE_WEIGHTS
      // Most turns: every row reads every key of a tile of codes, and none outgrows its maximum.
      loop {
        if (!is_plain(tile, ranges, low_row) || next.is_residual) {
          break;
        }
        //#insert LEAVE_SCORES
        workgroupBarrier();
        {
          let of_k = next;
          let of_v = tile;
          //#insert KEEP_CODES
        }
        //#insert OWN_SCORES
        //#insert PEAK
        is_outgrown = peak > highest + HEADROOM;
        if (is_outgrown) {
          atomicStore(&outgrown[0], t + 1u);
        }
        let base = max(highest, FLOOR);
        //#insert WEIGHTS
        has_outgrown = workgroupUniformLoad(&outgrown[0]);
        if (has_outgrown == t + 1u) {
          break;
        }
        //#insert ADDED
        {
          let later = tile_at(ranges, min(t + 3u, last_tile));
          let of_k = after;
          let of_v = next;
          //#insert FETCH
          //#insert MULTIPLY
          tile = next;
          next = after;
          after = later;
        }
        t++;
        if (t == end_tile) {
          break;
        }
      }
      if (t == end_tile) {
        break;
      }
      // Any other turn, or the rest of one.
      if (has_outgrown != t + 1u) {
        //#insert LEAVE_SCORES
        workgroupBarrier();
        {
          let of_k = next;
          let of_v = tile;
          //#insert KEEP
        }
      }
      {
        //#insert OWN_SCORES
        //#insert MASK
        //#insert PEAK
        is_outgrown = peak > highest + HEADROOM;
        if (is_outgrown) {
          atomicStore(&outgrown[0], t + 1u);
        }
        let top = select(highest, peak, is_outgrown);
        let factor = exp2(highest - top);
        highest = top;
        sum *= factor;
        let base = max(highest, FLOOR);
        //#insert WEIGHTS
        //#insert ADDED
        if (workgroupUniformLoad(&outgrown[0]) == t + 1u && t > first_tile) {
          //#insert RESCALE
        }
      }
      {
        let later = tile_at(ranges, min(t + 3u, last_tile));
        let of_k = after;
        let of_v = next;
        //#insert FETCH
        //#insert MULTIPLY
        tile = next;
        next = after;
        after = later;
      }
      t++;
    }
    workgroupBarrier();
  }

  let is_there = l < POSITIONS * GROUP && first + l / GROUP < p.count;
  let at = ((p.row + n) * NUM_HEADS + head) * p.splits + group.z;
  if (is_there) {
    stats[at * 2u] = select(highest * LN2, MASKED, highest == MASKED);
    stats[at * 2u + 1u] = sum;
  }
  //#insert OUTPUT
}
