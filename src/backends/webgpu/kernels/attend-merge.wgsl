// Joins the splits of a head, divides by the sum of weights and undoes the rotation of V. One workgroup a head of a row.
struct Params {
  splits: u32,
  list_at: u32,
  use_list: u32,
  first_row: u32,
}
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> parts: array<f32>;
@group(0) @binding(3) var<storage, read> stats: array<f32>;
@group(0) @binding(4) var<storage, read> rotation: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;

const THREADS = 256u;
// Coordinates side by side, and shares of the splits that are added up side by side.
const WIDTH = min(HEAD_DIM, 128u);
const SHARES = THREADS / WIDTH;
const MAX_SPLITS = 256u;
var<workgroup> xs: array<f32, HEAD_DIM>;
var<workgroup> scratch: array<f32, THREADS>;
var<workgroup> shares: array<f32, MAX_SPLITS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  var row = p.first_row + group.y;
  if (p.use_list != 0u) {
    row = step[p.list_at + group.y];
  }
  let head = row * NUM_HEADS + group.x;
  let base = head * p.splits;
  // One split an invocation.
  var own = -3.4e38;
  var weight = 0.0;
  if (l < p.splits) {
    own = stats[(base + l) * 2u];
    weight = stats[(base + l) * 2u + 1u];
  }
  scratch[l] = own;
  for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      scratch[l] = max(scratch[l], scratch[l + half]);
    }
  }
  workgroupBarrier();
  let share = exp(own - scratch[0]);
  workgroupBarrier();
  shares[l] = select(share, 0.0, weight == 0.0);
  scratch[l] = weight * share;
  for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      scratch[l] += scratch[l + half];
    }
  }
  workgroupBarrier();
  let inverse = 1.0 / scratch[0];
  for (var first = 0u; first < HEAD_DIM; first += WIDTH) {
    let i = min(first + l % WIDTH, HEAD_DIM - 1u);
    var value = 0.0;
    for (var s = l / WIDTH; s < p.splits; s += SHARES) {
      value += parts[(base + s) * HEAD_DIM + i] * shares[s];
    }
    workgroupBarrier();
    scratch[l] = value;
    workgroupBarrier();
    if (l < WIDTH) {
      for (var n = 1u; n < SHARES; n++) {
        value += scratch[l + n * WIDTH];
      }
      xs[i] = value * inverse;
    }
  }
  workgroupBarrier();
  //#if DENSE
  // The inverse of the KV head's transform, column by column.
  let matrix = group.x / GROUP * HEAD_DIM * HEAD_DIM;
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    var value = 0.0;
    for (var j = 0u; j < HEAD_DIM; j++) {
      value += rotation[matrix + j * HEAD_DIM + i] * xs[j];
    }
    out[head * HEAD_DIM + i] = value;
  }
  //#else
  //#if QR
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    var value = 0.0;
    for (var j = 0u; j < HEAD_DIM; j++) {
      value += rotation[j * HEAD_DIM + i] * xs[j];
    }
    out[head * HEAD_DIM + i] = value;
  }
  //#else
  for (var round = ROTATION_ROUNDS; round > 0u; round--) {
    let start = (round - 1u) * (HEAD_DIM - ROTATION_SIZE);
    for (var stride = 1u; stride < ROTATION_SIZE; stride <<= 1u) {
      for (var pair = l; pair < ROTATION_SIZE / 2u; pair += THREADS) {
        let i = start + (pair / stride) * 2u * stride + pair % stride;
        let a = xs[i];
        let b = xs[i + stride];
        xs[i] = a + b;
        xs[i + stride] = a - b;
      }
      workgroupBarrier();
    }
    let norm = rotation[ROTATION_ROUNDS * ROTATION_SIZE];
    for (var i = l; i < ROTATION_SIZE; i += THREADS) {
      xs[start + i] *= norm * rotation[(round - 1u) * ROTATION_SIZE + i];
    }
    workgroupBarrier();
  }
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    out[head * HEAD_DIM + i] = xs[i];
  }
  //#end
  //#end
}
