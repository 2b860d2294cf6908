// Attention of a long span over its history and itself on matrix units, f16 × f16 → f32 of 16 × 16 × 16.
//
// A workgroup has one KV head and ROWS query rows, which are GROUP query heads of ROWS / GROUP positions, and walks every key that
// these may read, KEYS at a time. PARTS workgroups share the query heads of a KV head. Codes are unpacked to f16 in workgroup
// memory once for all rows. A subgroup keeps the queries and sums of its rows as matrices in registers. The elements of a matrix
// can be read only through memory, so scores are stored there, and an invocation turns those of its own row into weights: nothing
// is handed from lane to lane.
//
// A matrix of sums cannot be scaled row by row. So a row's weights stay relative to an older maximum until a score exceeds it by
// HEADROOM, which is rare after a row's first keys; then the sums of all rows are scaled in workgroup memory.
//
// A turn multiplies the values of a tile and the keys of the next one without a barrier between them. What the next turn stores in
// workgroup memory is loaded before that. Lines lie so far apart that those which are read side by side begin in different banks.
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
// The distance of two keys' lines in values, and that of two rows' lines of weights.
const PITCH = HEAD_DIM + 8u;
const WEIGHT_PITCH = KEYS + 8u;
const VALUES_AT = KEYS * PITCH;
const WEIGHTS_AT = 2u * KEYS * PITCH;
const MASKED = -3.0e38;
// FLOOR is above every masked score, so that the difference to it gives a weight of 0, and below every other score.
const FLOOR = -1.0e38;
// HEADROOM is an exponent of two, since scores are: weights of up to 256 are far from f16's largest number.
const HEADROOM = 8.0;
const LN2 = 0.6931471805599453;
const LOG2E = 1.4426950408889634;
const MAX_HALF = 65504.0;

// The size of each array is a multiple of sixteen bytes, because matrices have to be aligned to that.
var<workgroup> lut: array<u32, TABLE>;
// `halves` holds keys as [key][PITCH], then values as [key][PITCH], then weights as [row][WEIGHT_PITCH].
var<workgroup> halves: array<f16, WEIGHTS_AT + ROWS * WEIGHT_PITCH>;
// `scores` holds scores as [key][SCORE_PITCH]. Sums pass through it with a coordinate in the place of a key.
var<workgroup> scores: array<f32, KEYS * SCORE_PITCH>;
// The first element is one more than the last tile in which a row's scores outgrew its maximum.
var<workgroup> outgrown: array<atomic<u32>, 4>;

//#include prefill-keys

// Stores eight halves; a compiler that knows their alignment makes one store of them.
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

// Says whether a tile has codes and every row reads each of its keys, so that nothing has to be masked.
fn is_plain(tile: Tile, ranges: Ranges, low_row: u32) -> bool {
  var is_whole = !tile.is_residual && tile.first + KEYS <= low_row + 1u;
  is_whole = is_whole && tile.first >= first_key(ranges.last);
  //#if IS_TIERED
  is_whole = is_whole && tile.first >= tier_low(ranges.last) && tile.first + KEYS <= tier_high(low_row);
  //#end
  //#if HAS_COPIES
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
  // If GROUP does not divide KV_GROUP, the last part shares heads with the one before, and both write the same numbers.
  let first_head = kv_head * KV_GROUP + min(group.x % PARTS * GROUP, KV_GROUP - GROUP);
  // Rows that read the most keys begin first, so that short workgroups fill the end.
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

  // `n` and `head` are the row of this invocation; `row0` is the first row of its subgroup.
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
    // Pages are looked up a turn before they are read, so that nothing waits for their addresses.
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
      // `is_outgrown` says whether the row's scores outgrew its maximum, `has_outgrown` in which tile (plus one) any row's did.
      var is_outgrown = false;
      var has_outgrown = 0u;
      //#insert DECLARE_WEIGHTS
      // Most turns are done here: every row reads every key of a tile of codes, and no score outgrows its row's maximum.
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
      // Other turns are done here from the beginning, or from their scores on if these outgrew a maximum.
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
  let at = (n * NUM_HEADS + head) * p.all_parts + p.first_part + group.z;
  if (is_there) {
    stats[at * 2u] = select(highest * LN2, MASKED, highest == MASKED);
    stats[at * 2u + 1u] = sum;
  }
  //#insert OUTPUT
}
