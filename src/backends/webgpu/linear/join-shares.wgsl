// out[r] (+)= sum of sums[share][r] (+ bias): linear-panels.wgsl left a sum for each share of the columns.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
/// The layout is [share][tile of outputs][sum_lines][TILE].
@group(0) @binding(1) var<storage, read> sums: array<vec4f>;
@group(0) @binding(2) var<storage, read> bias: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> out: array<vec4f>;

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) g: vec3u) {
  let output = g.x * 4u;
  let row = g.y;
  if (output >= p.outputs) {
    return;
  }
  var sum = vec4f();
  for (var share = 0u; share < p.shares; share++) {
    let tile = share * p.sum_tiles + output / TILE;
    sum += sums[((tile * p.sum_lines + row) * TILE + output % TILE) / 4u];
  }
  if (p.has_bias != 0u) {
    sum += bias[(p.first + output) / 4u];
  }
  let at = (row * p.total + p.first + output) / 4u;
  if (p.add != 0u) {
    sum += out[at];
  }
  out[at] = sum;
}
