// out[r] (+)= w · x[r] (+ bias) for many rows on matrix units: f16 × f16 → f32 of 16 × 16 × 16 a subgroup.
//
// A workgroup makes TILE_ROWS × TILE_OUTPUTS sums. Workgroup memory has two halves for thirty-two columns of its rows and outputs
// as f16: while one is multiplied, the columns for the other are under way. x is clamped to ±65504, the range of f16. Lines are
// 40 values apart, so that eight lines of sixteen bytes hit different banks.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
//#if VIEWS
requires buffer_view;
//#end

//#include linear-bindings
const STEP = 32u;
const STEP_UNITS = 4u;
const PITCH = 40u;
/// The outputs' lines begin at OUTPUTS_AT; one half of the double buffer has SIDE values.
const OUTPUTS_AT = TILE_ROWS * PITCH;
const SIDE = (TILE_ROWS + TILE_OUTPUTS) * PITCH;
//#if VIEWS
var<workgroup> memory: buffer<SIDE * 4u>;
//#else
var<workgroup> tiles: array<f16, SIDE * 2u>;
//#include keep-halves
//#end
/// Each subgroup leaves one matrix of results at a time here.
var<workgroup> results: array<f32, THREADS * 8u>;

//#include packed-halves
//#include store-sum

/// Returns eight columns of a row of x as f16, zeros beyond the rows and columns. `unit` counts within the tile.
fn x_words(row0: u32, unit: u32, k: u32) -> vec4u {
  let row = row0 + unit / STEP_UNITS;
  let col = k + (unit % STEP_UNITS) * 8u;
  var values = array<vec4f, 2>();
  if (row < p.rows && col < p.cols) {
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
  if (output < p.outputs && col < p.cols) {
    //#if HALVES
    values = words[output * p.stride + col / 8u];
    //#else
    values = packed(weight_unit(output * p.stride, col / 8u));
    //#end
  }
  return values;
}

/// Stores a unit of a tile whose lines, those of rows or of outputs, begin at `at` in a half of the double buffer.
fn keep(at: u32, unit: u32, values: vec4u) {
  let first = at + (unit / STEP_UNITS) * PITCH + (unit % STEP_UNITS) * 8u;
  //#if VIEWS
  bufferView<array<vec4u>>(&memory, 0)[first / 8u] = values;
  //#else
  keep_halves(first, values);
  //#end
}

/// Stores the sixteen rows and outputs of `results` from (row, output) on.
fn write_results(lane: u32, results_at: u32, row: u32, output: u32) {
  for (var i = lane; i < 256u; i += 32u) {
    store_sum(results[results_at + i], row + i / 16u, output + i % 16u);
  }
}

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) l: u32,
  @builtin(subgroup_id) subgroup: u32,
  @builtin(subgroup_invocation_id) lane: u32,
) {
  let row0 = group.y * TILE_ROWS;
  let out0 = group.x * TILE_OUTPUTS;
  // The part of the tile that this subgroup computes begins here.
  let part_row = (subgroup / SUBGROUPS_WIDE) * PART_ROWS;
  let part_out = (subgroup % SUBGROUPS_WIDE) * PART_OUTPUTS;
  //#if VIEWS
  let tiles = bufferView<array<f16>>(&memory, 0);
  //#end
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
