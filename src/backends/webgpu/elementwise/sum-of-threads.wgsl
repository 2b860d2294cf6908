var<workgroup> sums: array<f32, THREADS>;
/// The sum is put together in two steps, because waiting for each other takes longer than adding.
const SUM_GROUPS = 16u;
var<workgroup> group_sums: array<f32, SUM_GROUPS>;

/// Returns the sum of the values of all invocations to each of them. It may be called again at once: nobody reads `sums` after the
/// second barrier, nor `group_sums` after the first one of the next call.
fn sum_of_threads(value: f32, l: u32) -> f32 {
  sums[l] = value;
  workgroupBarrier();
  if (l < SUM_GROUPS) {
    var part = 0.0;
    for (var n = l; n < THREADS; n += SUM_GROUPS) {
      part += sums[n];
    }
    group_sums[l] = part;
  }
  workgroupBarrier();
  var total = 0.0;
  for (var n = 0u; n < SUM_GROUPS; n++) {
    total += group_sums[n];
  }
  return total;
}
