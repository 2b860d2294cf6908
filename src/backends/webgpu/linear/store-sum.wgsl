/// Stores the sum that is an output of a row, with its bias and on top of what is there, as the parameters say. Rows and outputs
/// that are not there are left out.
fn store_sum(sum: f32, row: u32, output: u32) {
  if (row >= p.rows || output >= p.outputs) {
    return;
  }
  let at = row * p.total + p.first + output;
  var value = sum;
  if (p.has_bias != 0u) {
    value += bias[p.first + output];
  }
  if (p.add != 0u) {
    value += out[at];
  }
  out[at] = value;
}
