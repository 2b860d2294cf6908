// Adds up the sums of the key groups in `lut` and writes one part.
fn add_up(part: u32, l: u32) {
  for (var i = l; i < VALUE_DIM; i += THREADS) {
    let at = i / UNITS * SUM_THREADS + i % UNITS;
    var sum = 0.0;
    for (var n = 0u; n < SUM_THREADS; n += UNITS) {
      sum += bitcast<f32>(lut[at + n]);
    }
    parts[part * VALUE_DIM + i % UNITS * 8u + i / UNITS] = sum;
  }
}

fn highest_at_once(value: f32, l: u32) -> f32 {
  workgroupBarrier();
  tops[l] = value;
  for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      tops[l] = max(tops[l], tops[l + half]);
    }
  }
  workgroupBarrier();
  return tops[0];
}
fn total_at_once(value: f32, l: u32) -> f32 {
  workgroupBarrier();
  tops[l] = value;
  for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (l < half) {
      tops[l] += tops[l + half];
    }
  }
  workgroupBarrier();
  return tops[0];
}
