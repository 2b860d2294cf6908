// The worth of each block of a list: that of its best token, and more than any score for the last blocks. A workgroup has every
// p.groups-th block of a list.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read_write> scores: array<u32>;

//#include ordered

var<workgroup> best: array<u32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let position = step[p.rows_at + (p.first_row + group.y / p.lists) * ROW_WORDS + ROW_POSITION];
  let blocks = position / p.block_size + 1u;
  for (var block = group.x; block < blocks; block += p.groups) {
    var own = select(LEAST, MOST, block + p.local >= blocks);
    for (var i = l; i < p.block_size; i += THREADS) {
      let token = min(block * p.block_size + i, position);
      own = max(own, scores[group.y * p.stride + token]);
    }
    best[l] = own;
    for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
      workgroupBarrier();
      if (l < half) {
        best[l] = max(best[l], best[l + half]);
      }
    }
    if (l == 0u) {
      scores[p.worth_at + group.y * p.worth_stride + block] = best[0];
    }
    workgroupBarrier();
  }
}
