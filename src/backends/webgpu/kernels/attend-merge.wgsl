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

const THREADS = 128u;
var<workgroup> xs: array<f32, HEAD_DIM>;
var<workgroup> maxima: array<f32, THREADS>;
var<workgroup> sums: array<f32, THREADS>;

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  var row = p.first_row + group.y;
  if (p.use_list != 0u) {
    row = step[p.list_at + group.y];
  }
  let head = row * NUM_HEADS + group.x;
  let base = head * p.splits;
  var most = -3.4e38;
  for (var s = l; s < p.splits; s += THREADS) {
    most = max(most, stats[(base + s) * 2u]);
  }
  maxima[l] = most;
  for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      maxima[l] = max(maxima[l], maxima[l + half]);
    }
  }
  workgroupBarrier();
  most = maxima[0];
  var sum = 0.0;
  for (var s = l; s < p.splits; s += THREADS) {
    sum += stats[(base + s) * 2u + 1u] * exp(stats[(base + s) * 2u] - most);
  }
  sums[l] = sum;
  for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      sums[l] += sums[l + half];
    }
  }
  workgroupBarrier();
  let inverse = 1.0 / sums[0];
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    var value = 0.0;
    for (var s = 0u; s < p.splits; s++) {
      value += parts[(base + s) * HEAD_DIM + i] * exp(stats[(base + s) * 2u] - most);
    }
    xs[i] = value * inverse;
  }
  workgroupBarrier();
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
}
