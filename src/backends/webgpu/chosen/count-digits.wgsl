// Counts one digit of the candidates of a list that have the digits before it.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> scores: array<u32>;
// The counts of each digit of each list are zero before the first one is counted.
@group(0) @binding(3) var<storage, read_write> tallies: array<atomic<u32>>;

//#include choice-digits

fn tally(at: u32) -> u32 {
  return atomicLoad(&tallies[at]);
}

var<workgroup> bins: array<atomic<u32>, BINS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let list = group.y;
  let candidates = step[p.rows_at + (p.first_row + list / p.lists) * ROW_WORDS + ROW_POSITION] / p.block_size + 1u;
  if (candidates <= p.count || group.x * TILE >= candidates) {
    return;
  }
  for (var i = l; i < BINS; i += THREADS) {
    atomicStore(&bins[i], 0u);
  }
  let before = digits_of(list, p.digit, l).x;
  workgroupBarrier();
  for (var i = l; i < TILE; i += THREADS) {
    let candidate = group.x * TILE + i;
    if (candidate < candidates) {
      let number = scores[p.candidates_at + list * p.stride + candidate];
      if (p.digit == 0u || number >> bits_behind(p.digit) == before) {
        atomicAdd(&bins[(number >> bits_behind(p.digit + 1u)) & select(2047u, 1023u, p.digit == 2u)], 1u);
      }
    }
  }
  workgroupBarrier();
  for (var i = l; i < BINS; i += THREADS) {
    let own = atomicLoad(&bins[i]);
    if (own > 0u) {
      atomicAdd(&tallies[(list * DIGITS + p.digit) * BINS + i], own);
    }
  }
}
