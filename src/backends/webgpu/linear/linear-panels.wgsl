// out[r] (+)= w · x[r] for many rows on matrix units, f16 × f16 → f32 of 16 × 16 × 16, from panels of pack-panels.wgsl.
//
// A workgroup makes TILE × TILE sums, a quarter in each of its four subgroups. What it needs of a panel is one piece of memory. Two
// panels lie in workgroup memory, at addresses that are constants, and the matrices of a third are in registers: while those are
// multiplied, the next matrices and the panel after them are under way. Lines are 24 values apart, so that eight lines of sixteen
// bytes hit different banks and two workgroups fit a multiprocessor of 48 KiB.
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4u>;
@group(0) @binding(2) var<storage, read> w: array<vec4u>;
//#if DIRECT
/// The layout is [rows][PITCH_OUT]. The pitch is a constant, so that the addresses of a block's stores are constants apart.
//#else
/// The layout is [share][tile of outputs][x_lines][TILE]; join-shares.wgsl adds the shares up.
//#end
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
var<workgroup> tiles: array<f16, SIDE * 2u>;

//#include keep-halves

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) l: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  let row0 = group.x * TILE;
  let out0 = group.y * TILE;
  let share = group.z;
  // The quarter that this subgroup computes begins here.
  let part_row = (subgroup / 2u) * PART;
  let part_out = (subgroup % 2u) * PART;
  // These addresses count units of sixteen bytes.
  var x_at = (share * p.steps * p.x_lines + row0) * 2u + l;
  var w_at = (share * p.steps * p.w_lines + out0) * 2u + l;
  let keep_at = (l / 2u) * PITCH + (l % 2u) * 8u;
  let left_at = part_row * PITCH;
  let right_at = (TILE + part_out) * PITCH;
  //#insert DECLARE
  //#if DIRECT
  let out_at = (row0 + part_row) * PITCH_OUT + p.first + out0 + part_out;
  if (p.add != 0u) {
    //#insert START
  }
  //#else
  let out_at = ((share * p.w_lines / TILE + group.y) * p.x_lines + row0 + part_row) * PITCH_OUT + part_out;
  //#end
  //#insert PROLOGUE
  for (var step = 2u; step < p.steps; step += 2u) {
    //#insert STEPS
  }
  //#insert EPILOGUE
  //#insert FINISH
}
