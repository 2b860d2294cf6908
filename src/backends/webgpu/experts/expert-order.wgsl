// Brings the rows of a step into the order of their experts, in one workgroup. A row is there once for each of its experts, as
// pair row * TOP_K + k. Leaves the number of tiles of up to TILE pairs with one expert; for each the expert, its first place in
// the order and its number of pairs; and the pairs in that order. Pairs of experts that give what
// they read are left out.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> routes: array<f32>;
@group(0) @binding(2) var<storage, read_write> order: array<u32>;
var<workgroup> counts: array<atomic<u32>, EXPERTS>;

fn expert_of(pair: u32) -> u32 {
  return u32(routes[pair / TOP_K * 2u * TOP_K + pair % TOP_K]);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) l: u32) {
  for (var e = l; e < EXPERTS; e += THREADS) {
    atomicStore(&counts[e], 0u);
  }
  workgroupBarrier();
  for (var pair = l; pair < p.pairs; pair += THREADS) {
    if (expert_of(pair) < EXPERTS) {
      atomicAdd(&counts[expert_of(pair)], 1u);
    }
  }
  workgroupBarrier();
  if (l == 0u) {
    var first = 0u;
    var tiles = 0u;
    for (var e = 0u; e < EXPERTS; e++) {
      let count = atomicLoad(&counts[e]);
      for (var done = 0u; done < count; done += TILE) {
        let at = 1u + tiles * 3u;
        order[at] = e;
        order[at + 1u] = first + done;
        order[at + 2u] = min(TILE, count - done);
        tiles++;
      }
      atomicStore(&counts[e], first);
      first += count;
    }
    order[0] = tiles;
  }
  workgroupBarrier();
  for (var pair = l; pair < p.pairs; pair += THREADS) {
    if (expert_of(pair) < EXPERTS) {
      order[p.pairs_at + atomicAdd(&counts[expert_of(pair)], 1u)] = pair;
    }
  }
}
