// Counts in each tile of a list the candidates above the number that is looked for, and those that are equal to it. Leaves that number, how
// many of the equal ones are to be taken, and then the two counts of each tile.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> scores: array<u32>;
@group(0) @binding(3) var<storage, read> tallies: array<u32>;
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;

//#include choice-digits

fn tally(at: u32) -> u32 {
  return tallies[at];
}

var<workgroup> above: atomic<u32>;
var<workgroup> equal: atomic<u32>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let list = group.y;
  let candidates = step[p.rows_at + (p.first_row + list / p.lists) * ROW_WORDS + ROW_POSITION] / p.block_size + 1u;
  if (candidates <= p.count || group.x * TILE >= candidates) {
    return;
  }
  let least = digits_of(list, DIGITS, l);
  for (var i = l; i < TILE; i += THREADS) {
    let candidate = group.x * TILE + i;
    if (candidate < candidates) {
      let number = scores[p.candidates_at + list * p.stride + candidate];
      if (number > least.x) {
        atomicAdd(&above, 1u);
      } else if (number == least.x) {
        atomicAdd(&equal, 1u);
      }
    }
  }
  workgroupBarrier();
  if (l == 0u) {
    let at = list * p.count_words;
    if (group.x == 0u) {
      counts[at] = least.x;
      counts[at + 1u] = least.y;
    }
    counts[at + 2u + 2u * group.x] = atomicLoad(&above);
    counts[at + 3u + 2u * group.x] = atomicLoad(&equal);
  }
}
