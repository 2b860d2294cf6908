// Writes rows of x or of a weight as f16 in the panels that linear-panels.wgsl reads: [panel of 16 columns][line][16].
//
// Lines and columns that are not there become zeros, so that the product needs no tests. Values are clamped to ±65504, f16's range.
enable f16;
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
//#insert READERS
//#if ROWS
@group(0) @binding(1) var<storage, read> x: array<XTYPE>;
//#else
@group(0) @binding(1) var<storage, read> words: array<WORD>;
//#end
@group(0) @binding(2) var<storage, read> scales: array<SCALE>;
@group(0) @binding(3) var<storage, read_write> panels: array<vec4u>;

//#include packed-halves

/// Returns eight columns of a line that is there, zeros beyond the columns.
fn line_unit(line: u32, unit: u32) -> vec4u {
  //#if ROWS
  let col = unit * 8u;
  var values = array<vec4f, 2>();
  //#if TAIL
  for (var i = 0u; i < 8u; i++) {
    if (col + i < p.cols) {
      values[i >> 2u][i & 3u] = x[line * p.cols + col + i];
    }
  }
  //#else
  if (col < p.cols) {
    let at = (line * p.cols + col) / 4u;
    values = array<vec4f, 2>(x[at], x[at + 1u]);
  }
  //#end
  return packed(values);
  //#else
  if (unit >= p.stride) {
    return vec4u();
  }
  let row_at = (p.first + line) * p.stride;
  //#if HALVES
  return words[row_at + unit];
  //#else
  return packed(weight_unit(row_at, unit));
  //#end
  //#end
}

/// Two invocations take a line through PANELS panels, one after the other, so that its columns are read in one piece.
@compute @workgroup_size(TILE * 2u)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let line = group.x * TILE + l / 2u;
  for (var i = 0u; i < PANELS; i++) {
    let panel = group.y * PANELS + i;
    if (panel < p.panels) {
      var values = vec4u();
      if (line < p.lines) {
        values = line_unit(line, panel * 2u + l % 2u);
      }
      panels[(panel * p.panel_lines + line) * 2u + l % 2u] = values;
    }
  }
}
