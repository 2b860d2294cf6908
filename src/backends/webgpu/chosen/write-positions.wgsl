// Writes the positions of the chosen tokens of a list, ascending, and -1 behind them. An invocation has neighbouring candidates; how many
// are chosen before it is known from the counts of the tiles before its own and from the other invocations.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> scores: array<u32>;
@group(0) @binding(3) var<storage, read_write> tallies: array<u32>;
@group(0) @binding(4) var<storage, read> counts: array<u32>;
@group(0) @binding(5) var<storage, read_write> positions: array<f32>;

//#include choice-digits

fn tally(at: u32) -> u32 {
  return tallies[at];
}

var<workgroup> above: atomic<u32>;
var<workgroup> equal: atomic<u32>;

// Writes the tokens of candidate `candidate`, the chosen one number `place` of the list.
fn put(list: u32, place: u32, candidate: u32, position: u32) {
  let at = ((p.first_row * p.lists + list) * p.count + place) * p.block_size;
  for (var i = 0u; i < p.block_size; i++) {
    let token = candidate * p.block_size + i;
    positions[at + i] = select(-1.0, f32(token), token <= position);
  }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let list = group.y;
  let position = step[p.rows_at + (p.first_row + list / p.lists) * ROW_WORDS + ROW_POSITION];
  let candidates = position / p.block_size + 1u;
  if (group.x == 0u) {
    let end = (p.first_row * p.lists + list + 1u) * p.count * p.block_size;
    for (var at = end - (p.count - min(candidates, p.count)) * p.block_size + l; at < end; at += THREADS) {
      positions[at] = -1.0;
    }
  }
  if (group.x * TILE >= candidates) {
    return;
  }
  let first = group.x * TILE + l * 8u;
  if (candidates <= p.count) {
    for (var candidate = first; candidate < min(first + 8u, candidates); candidate++) {
      put(list, candidate, candidate, position);
    }
    return;
  }
  if (group.x == 0u) {
    // The next choice counts its digits from zero.
    for (var i = l; i < DIGITS * BINS; i += THREADS) {
      tallies[list * DIGITS * BINS + i] = 0u;
    }
  }
  let at = list * p.count_words;
  let least = counts[at];
  let taken = counts[at + 1u];
  for (var tile = l; tile < group.x; tile += THREADS) {
    atomicAdd(&above, counts[at + 2u + 2u * tile]);
    atomicAdd(&equal, counts[at + 3u + 2u * tile]);
  }
  var own = 0u;
  for (var candidate = first; candidate < min(first + 8u, candidates); candidate++) {
    let number = scores[p.candidates_at + list * p.stride + candidate];
    own += select(select(0u, 0x10000u, number == least), 1u, number > least);
  }
  // A tile has fewer candidates than fit half a word.
  let before = sum_before(own, l);
  var equal_before = atomicLoad(&equal) + (before >> 16u);
  var place = atomicLoad(&above) + (before & 0xffffu) + min(equal_before, taken);
  for (var candidate = first; candidate < min(first + 8u, candidates); candidate++) {
    let number = scores[p.candidates_at + list * p.stride + candidate];
    let is_equal = number == least;
    if (number > least || (is_equal && equal_before < taken)) {
      put(list, place, candidate, position);
      place++;
    }
    equal_before += u32(is_equal);
  }
}
