// The rows of a workgroup read three ranges of keys (codes, sinks, recent copies), each in tiles of KEYS.
struct Ranges {
  // A range is its first tile and its number of tiles.
  codes: vec2u,
  sinks: vec2u,
  recent: vec2u,
  main_table: u32,
  residual_table: u32,
  residual_entries: u32,
  // This is the first position after the sinks whose copy is there.
  residual_start: u32,
  // This is the position of the last row; later keys are not there.
  last: u32,
}

struct Tile {
  first: u32,
  is_residual: bool,
  // The entry of the block table is kept as it was loaded, because a computation with it would wait for it.
  entry: u32,
}

// Returns the first tile and the number of tiles that hold keys low .. end - 1.
fn tiles_of(low: u32, end: u32) -> vec2u {
  let first = low / KEYS;
  return vec2u(first, select(0u, (end + KEYS - 1u) / KEYS - first, end > low));
}

fn below(a: u32, b: u32) -> u32 {
  return select(0u, a - b, a > b);
}

// Returns the first key that the row at a position attends to.
fn first_key(position: u32) -> u32 {
  if (p.chunk > 0u) {
    return position / p.chunk * p.chunk;
  }
  return select(0u, below(position + 1u, p.sliding), p.sliding > 0u);
}

//#if IS_TIERED
// Returns the first key that the row at a position reads from these codes, and the one behind the last.
fn tier_low(position: u32) -> u32 {
  //#if HAS_COARSER
  return max(step[p.record + SPAN_COARSER_PAGES], below(position + 1u, COARSER_AFTER) / PAGE_TOKENS) * PAGE_TOKENS;
  //#else
  return 0u;
  //#end
}
fn tier_high(position: u32) -> u32 {
  //#if IS_COARSER
  return max(step[p.record + SPAN_OWN_PAGES], below(position + 1u, OWN_AFTER) / PAGE_TOKENS) * PAGE_TOKENS;
  //#else
  return position + 1u;
  //#end
}
//#end

// Returns the ranges that rows at the positions low_row .. high_row read.
fn ranges_of(low_row: u32, high_row: u32) -> Ranges {
  var r: Ranges;
  var low = first_key(low_row);
  r.main_table = step[p.record + SPAN_TABLE];
  r.residual_start = step[p.record + SPAN_RESIDUAL_START];
  r.last = high_row;
  //#if HAS_RESIDUAL
  r.residual_table = step[p.record + SPAN_RESIDUAL_TABLE];
  r.residual_entries = step[p.record + SPAN_RESIDUAL_ENTRIES];
  let codes_end = min(high_row + 1u, max(below(high_row + 1u, p.window), r.residual_start));
  r.codes = tiles_of(max(low, p.sinks), codes_end);
  r.sinks = tiles_of(low, min(p.sinks, high_row + 1u));
  let recent_low = max(max(low, r.residual_start), below(low_row + 1u, p.window));
  // A tile with sinks is read once for all its copies, so the recent ones begin after it.
  r.recent = tiles_of(
    max(recent_low, select(0u, (r.sinks.x + r.sinks.y) * KEYS, r.sinks.y > 0u)),
    select(0u, high_row + 1u, p.window > 0u),
  );
  //#else
  //#if IS_COARSER
  let codes_end = min(high_row + 1u, max(below(high_row + 1u, p.window), r.residual_start));
  low = max(low, p.sinks);
  //#else
  let codes_end = high_row + 1u;
  //#end
  r.codes = tiles_of(low, codes_end);
  //#end
  //#if IS_TIERED
  //#if HAS_RESIDUAL
  r.codes = tiles_of(max(max(low, p.sinks), tier_low(low_row)), codes_end);
  //#else
  r.codes = tiles_of(max(low, tier_low(low_row)), min(codes_end, tier_high(high_row)));
  //#end
  //#end
  return r;
}

fn tiles_in(r: Ranges) -> u32 {
  return r.codes.y + r.sinks.y + r.recent.y;
}

fn tile_at(r: Ranges, t: u32) -> Tile {
  var tile: Tile;
  tile.is_residual = t >= r.codes.y;
  tile.first = (r.codes.x + t) * KEYS;
  if (tile.is_residual) {
    let e = t - r.codes.y;
    tile.first = select(r.recent.x + e - r.sinks.y, r.sinks.x + e, e < r.sinks.y) * KEYS;
  }
  // Rows of an 8-bit window have no codes beside them, so their table of codes may end before the tile.
  tile.entry = step[r.main_table + select(tile.first / PAGE_TOKENS, 0u, tile.is_residual)];
  return tile;
}

// Returns the byte at which the tile's page of codes begins.
fn page_of(tile: Tile) -> u32 {
  return (tile.entry & SLOT_MASK) * PAGE_BYTES;
}

// Says whether the row at `position` takes key j from this stream and not from the other.
fn is_read(j: u32, position: u32, is_residual: bool, residual_start: u32) -> bool {
  var is_seen = j <= position && j >= first_key(position);
  //#if IS_TIERED
  is_seen = is_seen && (is_residual || (j >= tier_low(position) && j < tier_high(position)));
  //#end
  //#if IS_COARSER
  return is_seen && j >= p.sinks && (j + p.window <= position || j < residual_start);
  //#else
  //#if HAS_RESIDUAL
  return is_seen && (j < p.sinks || (j + p.window > position && j >= residual_start)) == is_residual;
  //#else
  return is_seen;
  //#end
  //#end
}
