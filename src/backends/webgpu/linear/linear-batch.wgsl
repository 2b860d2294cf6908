// out[r] (+)= w · x[r] (+ bias) for a batch of few rows on matrix units: f16 × f16 → f32 of 16 × 16 × 16.
//
// A weight is read once and as it is stored, so such a product should take no longer than the loads of its bytes. To keep enough of
// them under way, a workgroup has few outputs, so that there are many workgroups, and its subgroups divide the columns among
// themselves. Each subgroup keeps sums of all rows; at the end they are added up in workgroup memory. x comes in panels of
// line-panels.wgsl, with zeros beyond the columns, so that what is read of the weight there does not count.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
//#if HALVES
@group(0) @binding(1) var<storage, read> words: array<f16>;
@group(0) @binding(2) var<storage, read> scales: array<f32>;
//#else
@group(0) @binding(1) var<storage, read> words: array<WORD>;
@group(0) @binding(2) var<storage, read> scales: array<SCALE>;
//#end
@group(0) @binding(3) var<storage, read> x: array<f16>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
//#if !HALVES
//#insert WEIGHT
//#include packed-halves
/// Each subgroup keeps the columns of its turn here, with a line for each output.
var<workgroup> tiles: array<f16, SUBGROUPS * TILE_OUTPUTS * PITCH>;
//#include keep-halves

/// Unpacks a unit of the subgroup's turn, eight columns of one output, into `tiles`.
fn keep(subgroup: u32, out0: u32, unit: u32, panel: u32) {
  let line = unit / TURN_UNITS;
  let output = min(out0 + line, p.outputs - 1u);
  let col = min(panel * 2u + unit % TURN_UNITS, p.stride - 1u);
  let at = (subgroup * TILE_OUTPUTS + line) * PITCH + (unit % TURN_UNITS) * 8u;
  keep_halves(at, packed(weight_unit(output * p.stride, col)));
}
//#end
//#include store-sum

/// Each subgroup leaves one matrix of sums at a time here.
var<workgroup> sums: array<f32, SUBGROUPS * 256u>;

/// Adds up the subgroups' matrices and stores the sixteen rows and outputs from (row, output) on.
fn write_sums(l: u32, row: u32, output: u32) {
  for (var i = l; i < 256u; i += THREADS) {
    var value = 0f;
    for (var s = 0u; s < SUBGROUPS; s++) {
      value += sums[s * 256u + i];
    }
    store_sum(value, row + i / 16u, output + i % 16u);
  }
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) l: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let out0 = (group.y * groups.x + group.x) * TILE_OUTPUTS;
  //#insert DECLARE
  var panel = subgroup * UNROLL;
  for (var turn = 0u; turn < p.turns; turn++) {
    //#insert TURN
    panel += SUBGROUPS * UNROLL;
  }
  //#insert FINISH
}
