// Scores of tokens by the heads of an indexer, as numbers in their order. A workgroup has one row and THREADS tokens of its sequence, and an
// invocation scores one of them by the GROUP heads of one part after the other.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> pages: array<u32>;
@group(0) @binding(3) var<storage, read> pages4: array<vec4u>;
@group(0) @binding(4) var<storage, read> residual4: array<vec4u>;
@group(0) @binding(5) var<storage, read> query: array<vec2f>;
@group(0) @binding(6) var<storage, read> centroids: array<f32>;
@group(0) @binding(7) var<storage, read_write> scores: array<u32>;
//#if WEIGHTED
// Each head of a row has a factor of its scores.
@group(0) @binding(8) var<storage, read> factors: array<f32>;
//#end

const PAIRS = QUERY_DIM / 2u;
var<workgroup> lut: array<u32, LUT_WORDS>;

//#include ordered

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let row = p.first_row + group.y;
  let kv_head = 0u;
  //#include row-place
  if (group.x * THREADS > position) {
    return;
  }
  //#insert TABLES
  workgroupBarrier();

  let key = min(group.x * THREADS + l, position);
  //#if HAS_RESIDUAL
  let is_residual = key < p.sinks || key >= recent;
  //#end
  // Invocations behind the last token write its scores as well, which are the same numbers.
  let at = group.y * LISTS * p.stride + key;
  //#if WEIGHTED
  var total = 0.0;
  //#end
  for (var part = 0u; part < PARTS; part++) {
    // The last part may have heads of the one before it as well.
    let first = min(part * GROUP, NUM_HEADS - GROUP);
    let first_head = row * NUM_HEADS + first;
    //#insert SCORES
    //#insert SUMS
  }
  //#if WEIGHTED
  scores[at] = ordered(total);
  //#end
}
