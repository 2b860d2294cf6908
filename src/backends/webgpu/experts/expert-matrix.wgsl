// out[pair] = W · x + bias with the matrix of the pair's expert, for many rows on matrix units: as linear-matrix.wgsl, where the rows of a
// tile are pairs of one expert. A tile of outputs lies within those of an expert.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> words: array<WORD>;
@group(0) @binding(2) var<storage, read> scales: array<SCALE>;
@group(0) @binding(3) var<storage, read> x: array<XTYPE>;
@group(0) @binding(4) var<storage, read> order: array<u32>;
@group(0) @binding(5) var<storage, read> routes: array<f32>;
@group(0) @binding(6) var<storage, read> bias: array<f32>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;
//#insert WEIGHT
const STEP = 32u;
const STEP_UNITS = 4u;
const PITCH = 40u;
/// The outputs' lines begin at OUTPUTS_AT; one half of the double buffer has SIDE values.
const OUTPUTS_AT = TILE_ROWS * PITCH;
const SIDE = (TILE_ROWS + TILE_OUTPUTS) * PITCH;
var<workgroup> tiles: array<f16, SIDE * 2u>;
/// Each subgroup leaves one matrix of results at a time here.
var<workgroup> results: array<f32, THREADS * 8u>;
/// The pairs of the tile; lines beyond the last one repeat it, and are dropped.
var<workgroup> pairs: array<u32, TILE_ROWS>;

//#include keep-halves
//#include packed-halves

/// Of the tile's expert: its number, its first row of the weight that is here, and the pairs of the tile.
var<private> expert: u32;
var<private> weight0: u32;
var<private> count: u32;

/// Returns eight columns of the row of x that a pair stands for, as f16; zeros beyond the columns. `unit` counts within the tile.
fn x_words(row0: u32, unit: u32, k: u32) -> vec4u {
  let row = pairs[row0 + unit / STEP_UNITS] / p.slots;
  let col = k + (unit % STEP_UNITS) * 8u;
  var values = array<vec4f, 2>();
  if (col < p.cols) {
    //#if TAIL
    for (var i = 0u; i < 8u; i++) {
      if (col + i < p.cols) {
        values[i >> 2u][i & 3u] = x[row * p.cols + col + i];
      }
    }
    //#else
    let at = (row * p.cols + col) / 4u;
    values = array<vec4f, 2>(x[at], x[at + 1u]);
    //#end
  }
  return packed(values);
}

fn w_words(out0: u32, unit: u32, k: u32) -> vec4u {
  let output = out0 + unit / STEP_UNITS;
  let col = k + (unit % STEP_UNITS) * 8u;
  var values = vec4u();
  if (output < p.height && col < p.cols) {
    let row_at = (weight0 + output) * p.stride;
    //#if HALVES
    values = words[row_at + col / 8u];
    //#else
    values = packed(weight_unit(row_at, col / 8u));
    //#end
  }
  return values;
}

/// Stores a unit of a tile whose lines, those of pairs or of outputs, begin at `at` in a half of the double buffer.
fn keep(at: u32, unit: u32, values: vec4u) {
  keep_halves(at + (unit / STEP_UNITS) * PITCH + (unit % STEP_UNITS) * 8u, values);
}

/// Stores the sixteen lines and outputs of `results` from (line, output) on, of those that are there.
fn write_results(lane: u32, results_at: u32, first_line: u32, first_output: u32) {
  for (var i = lane; i < 256u; i += 32u) {
    let line = first_line + i / 16u;
    let output = first_output + i % 16u;
    if (line < count && output < p.height) {
      let pair = pairs[line];
      var value = results[results_at + i];
      //#if WEIGHTED
      value *= routes[(pair / TOP_K * 2u + 1u) * TOP_K + pair % TOP_K];
      //#end
      if (p.has_bias != 0u) {
        value += bias[expert * p.height + output];
      }
      out[pair * p.height + output] = value;
    }
  }
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) l: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let record = 1u + group.y * 3u;
  if (group.y >= order[0] || order[record] < p.first || order[record] >= p.first + p.experts) {
    return;
  }
  expert = order[record];
  weight0 = (expert - p.first) * p.height;
  count = order[record + 2u];
  for (var i = l; i < TILE_ROWS; i += THREADS) {
    pairs[i] = order[p.pairs_at + order[record + 1u] + min(i, count - 1u)];
  }
  workgroupBarrier();
  let row0 = 0u;
  let out0 = group.x * TILE_OUTPUTS;
  // The part of the tile that this subgroup computes begins here.
  let part_row = (subgroup / SUBGROUPS_WIDE) * PART_ROWS;
  let part_out = (subgroup % SUBGROUPS_WIDE) * PART_OUTPUTS;
  //#insert DECLARE
  var side = 0u;
  var k = 0u;
  //#insert FETCH
  //#insert KEEP
  workgroupBarrier();
  loop {
    k += STEP;
    let more = k < p.cols;
    if (more) {
      //#insert FETCH
    }
    //#insert MULTIPLY
    if (!more) {
      break;
    }
    side = SIDE - side;
    //#insert KEEP
    workgroupBarrier();
  }
  let results_at = subgroup * 256u;
  //#insert FINISH
}
