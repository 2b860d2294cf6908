// out[pair] = W · x + bias with the matrix of the pair's expert, for many rows: as linear-tiled.wgsl, where the rows of a tile are
// pairs of one expert. A tile of outputs lies within those of an expert.
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
const STEP = 16u;
const PITCH = 5u;
const TILE = 16u * EACH;
var<workgroup> xs: array<vec4f, TILE * PITCH>;
var<workgroup> ws: array<vec4f, 64u * PITCH>;

//#if HEADS
/// Where value i of the heads of a pair's expert is: heads of the experts of a row take turns.
fn place_of(pair: u32, i: u32) -> u32 {
  let head = i / p.head_dim * TOP_K + pair % TOP_K;
  return pair / TOP_K * p.head_stride + p.head_first + head * p.head_dim + i % p.head_dim;
}
//#end

/// Returns eight columns of a row of x, of the heads of a pair with READS_HEADS; zeros beyond the columns.
fn x_unit(row: u32, col: u32) -> array<vec4f, 2> {
  var values = array<vec4f, 2>();
  if (col < p.cols) {
    //#if TAIL
    for (var i = 0u; i < 8u; i++) {
      if (col + i < p.cols) {
        //#if READS_HEADS
        values[i >> 2u][i & 3u] = x[place_of(row, col + i)];
        //#else
        values[i >> 2u][i & 3u] = x[row * p.cols + col + i];
        //#end
      }
    }
    //#else
    let at = (row * p.cols + col) / 4u;
    values = array<vec4f, 2>(x[at], x[at + 1u]);
    //#end
  }
  return values;
}

fn pair_at(place: u32) -> u32 {
  return order[p.pairs_at + place];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let tile = 1u + group.y * 3u;
  if (group.y >= order[0]) {
    return;
  }
  let expert = order[tile];
  if (expert < p.first || expert >= p.first + p.experts) {
    return;
  }
  let place0 = order[tile + 1u];
  let count = order[tile + 2u];
  let out0 = group.x * 64u;
  let weight0 = (expert - p.first) * p.height;
  let tx = l % 16u;
  let ty = l / 16u;
  var acc: array<vec4f, EACH>;
  for (var k = 0u; k < p.cols; k += STEP) {
    workgroupBarrier();
    for (var u = l; u < (TILE + 64u) * 2u; u += 256u) {
      let part = u % 2u;
      let line = u / 2u;
      if (line < TILE) {
        // Lines beyond the last pair repeat it, and are dropped.
        let pair = pair_at(place0 + min(line, count - 1u));
        let values = x_unit(pair / p.slots, k + part * 8u);
        let at = line * PITCH + part * 2u;
        xs[at] = values[0];
        xs[at + 1u] = values[1];
      } else {
        var values = array<vec4f, 2>();
        let output = out0 + line - TILE;
        if (output < p.height && k + part * 8u < p.cols) {
          values = weight_unit((weight0 + output) * p.stride, k / 8u + part);
        }
        let at = (line - TILE) * PITCH + part * 2u;
        ws[at] = values[0];
        ws[at + 1u] = values[1];
      }
    }
    workgroupBarrier();
    //#include tile-products
  }
  for (var r = 0u; r < EACH; r++) {
    let line = ty * EACH + r;
    if (line >= count) {
      break;
    }
    let pair = pair_at(place0 + line);
    for (var c = 0u; c < 4u; c++) {
      let output = out0 + tx + 16u * c;
      if (output < p.height) {
        var value = acc[r][c];
        //#if WEIGHTED
        value *= routes[(pair / TOP_K * 2u + 1u) * TOP_K + pair % TOP_K];
        //#end
        if (p.has_bias != 0u) {
          value += bias[expert * p.height + output];
        }
        //#if WRITES_HEADS
        out[place_of(pair, output)] = value;
        //#else
        out[pair * p.height + output] = value;
        //#end
      }
    }
  }
}
