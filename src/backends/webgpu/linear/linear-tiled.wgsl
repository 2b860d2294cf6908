// out[r] (+)= w · x[r] (+ bias) for many rows. A workgroup makes a tile of 16 · EACH rows × 64 outputs, and an invocation EACH × 4
// of its sums. Sixteen columns at a time lie in workgroup memory, as vectors along the columns. Lines are five vectors apart, so
// that eight neighbouring lines hit different banks.

//#include linear-bindings
//#include store-sum
const STEP = 16u;
const PITCH = 5u;
const TILE_ROWS = 16u * EACH;
var<workgroup> xs: array<vec4f, TILE_ROWS * PITCH>;
var<workgroup> ws: array<vec4f, 64u * PITCH>;

/// Returns eight columns of a row of x, zeros beyond the rows and columns.
fn x_unit(row: u32, col: u32) -> array<vec4f, 2> {
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
  return values;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let row0 = group.y * TILE_ROWS;
  let out0 = group.x * 64u;
  let tx = l % 16u;
  let ty = l / 16u;
  var acc: array<vec4f, EACH>;
  for (var k = 0u; k < p.cols; k += STEP) {
    workgroupBarrier();
    // A line of the tile is two units of eight columns.
    for (var u = l; u < (TILE_ROWS + 64u) * 2u; u += 256u) {
      let part = u % 2u;
      let line = u / 2u;
      if (line < TILE_ROWS) {
        let values = x_unit(row0 + line, k + part * 8u);
        let at = line * PITCH + part * 2u;
        xs[at] = values[0];
        xs[at + 1u] = values[1];
      } else {
        var values = array<vec4f, 2>();
        let output = out0 + line - TILE_ROWS;
        if (output < p.outputs && k + part * 8u < p.cols) {
          values = weight_unit(output * p.stride, k / 8u + part);
        }
        let at = (line - TILE_ROWS) * PITCH + part * 2u;
        ws[at] = values[0];
        ws[at + 1u] = values[1];
      }
    }
    workgroupBarrier();
    //#include tile-products
  }
  for (var r = 0u; r < EACH; r++) {
    for (var c = 0u; c < 4u; c++) {
      store_sum(acc[r][c], row0 + ty * EACH + r, out0 + tx + 16u * c);
    }
  }
}
