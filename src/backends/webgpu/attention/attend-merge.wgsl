// Joins the splits of a head, divides by the sum of weights and undoes the rotation of V. A workgroup has one head of a row.
// All loads are issued first, because little else takes time here.
//#if SHUFFLE_BITS > 0
enable subgroups;
//#end
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> parts: array<vec4f>;
@group(0) @binding(3) var<storage, read> stats: array<vec2f>;
@group(0) @binding(4) var<storage, read> rotation: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
//#if SINK_LOGITS
// The logit of each query head is one more score in its softmax, but has no value.
@group(0) @binding(6) var<storage, read> sink_logits: array<f32>;
//#end

const QUADS = VALUE_DIM / 4u;
// SHARES splits are added up at the same time.
const SHARES = min(THREADS / QUADS, 16u);
const NONE = -3.4e38;
var<workgroup> xs: array<f32, VALUE_DIM>;
var<workgroup> sums: array<vec4f, SHARES * QUADS>;
// Each split has an invocation, which keeps its highest score and sum of weights in `own` and the factor of its part in `shares`.
var<workgroup> own: array<vec2f, THREADS>;
var<workgroup> shares: array<f32, THREADS>;
//#if ROTATION_ROUNDS > 0
// The signs of each round are followed by the factor that normalizes it.
var<workgroup> signs: array<f32, ROTATION_ROUNDS * ROTATION_SIZE + 1u>;
//#end

//#if ROTATION_ROUNDS > 0
//#insert HADAMARD
//#end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  var row = p.first_row + group.y;
  if (p.use_list != 0u) {
    row = step[p.list_at + group.y];
  }
  let head = row * NUM_HEADS + group.x;
  // Parts are those of the rows that are merged, one row behind the other.
  let base = (group.y * NUM_HEADS + group.x) * p.splits;
  let quad = l % QUADS;
  let share = l / QUADS;
  let last = p.splits - 1u;
  let at = base * QUADS + quad;
  let part0 = parts[at + min(share, last) * QUADS];
  let part1 = parts[at + min(share + SHARES, last) * QUADS];
  let part2 = parts[at + min(share + 2u * SHARES, last) * QUADS];
  let part3 = parts[at + min(share + 3u * SHARES, last) * QUADS];
  if (l < p.splits) {
    own[l] = stats[base + l];
  }
  //#if ROTATION_ROUNDS > 0
  for (var i = l; i <= ROTATION_ROUNDS * ROTATION_SIZE; i += THREADS) {
    signs[i] = rotation[i];
  }
  //#end
  workgroupBarrier();
  //#if SINK_LOGITS
  let sink = sink_logits[group.x];
  var highest = sink;
  //#else
  var highest = NONE;
  //#end
  for (var s = 0u; s < p.splits; s++) {
    highest = max(highest, own[s].x);
  }
  if (l < p.splits) {
    let mine = own[l];
    shares[l] = select(exp(mine.x - highest), 0.0, mine.y == 0.0);
  }
  workgroupBarrier();
  //#if SINK_LOGITS
  var total = exp(sink - highest);
  //#else
  var total = 0.0;
  //#end
  for (var s = 0u; s < p.splits; s++) {
    total += own[s].y * shares[s];
  }
  if (share < SHARES) {
    var value = part0 * select(0.0, shares[min(share, last)], share <= last);
    value += part1 * select(0.0, shares[min(share + SHARES, last)], share + SHARES <= last);
    value += part2 * select(0.0, shares[min(share + 2u * SHARES, last)], share + 2u * SHARES <= last);
    value += part3 * select(0.0, shares[min(share + 3u * SHARES, last)], share + 3u * SHARES <= last);
    for (var s = share + 4u * SHARES; s < p.splits; s += SHARES) {
      value += parts[at + s * QUADS] * shares[s];
    }
    sums[l] = value;
  }
  workgroupBarrier();
  if (l < QUADS) {
    var value = sums[l];
    for (var n = 1u; n < SHARES; n++) {
      value += sums[n * QUADS + l];
    }
    //#if SCALES_VALUES
    //#insert VALUE_SCALE
    value *= VALUE_SCALE / total;
    //#else
    value *= 1.0 / total;
    //#end
    xs[4u * l] = value.x;
    xs[4u * l + 1u] = value.y;
    xs[4u * l + 2u] = value.z;
    xs[4u * l + 3u] = value.w;
  }
  workgroupBarrier();
  //#if DENSE
  // The inverse of the KV head's transform lies column by column.
  let matrix = group.x / GROUP * VALUE_DIM * VALUE_DIM;
  for (var i = l; i < VALUE_DIM; i += THREADS) {
    var value = 0.0;
    for (var j = 0u; j < VALUE_DIM; j++) {
      value += rotation[matrix + j * VALUE_DIM + i] * xs[j];
    }
    out[head * VALUE_DIM + i] = value;
  }
  //#else
  //#if QR
  for (var i = l; i < VALUE_DIM; i += THREADS) {
    var value = 0.0;
    for (var j = 0u; j < VALUE_DIM; j++) {
      value += rotation[j * VALUE_DIM + i] * xs[j];
    }
    out[head * VALUE_DIM + i] = value;
  }
  //#else
  //#if ROTATION_ROUNDS > 0
  for (var round = ROTATION_ROUNDS; round > 0u; round--) {
    let start = (round - 1u) * (VALUE_DIM - ROTATION_SIZE);
    hadamard(start, l);
    for (var i = l; i < ROTATION_SIZE; i += THREADS) {
      xs[start + i] *= signs[ROTATION_ROUNDS * ROTATION_SIZE] * signs[(round - 1u) * ROTATION_SIZE + i];
    }
    workgroupBarrier();
  }
  //#end
  for (var i = l; i < VALUE_DIM; i += THREADS) {
    out[head * VALUE_DIM + i] = xs[i];
  }
  //#end
  //#end
}
