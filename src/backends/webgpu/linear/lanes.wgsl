// Eight columns of a row of x, zeros beyond them, and sums of LANES neighbouring invocations without subgroups.

fn x_unit(row: u32, unit: u32) -> array<vec4f, 2> {
  //#if TAIL
  var values = array<f32, 8>();
  for (var i = 0u; i < 8u; i++) {
    let at = unit * 8u + i;
    if (at < p.cols) {
      values[i] = x[row * p.cols + at];
    }
  }
  return array<vec4f, 2>(
    vec4f(values[0], values[1], values[2], values[3]),
    vec4f(values[4], values[5], values[6], values[7]),
  );
  //#else
  let at = row * (p.cols / 4u) + unit * 2u;
  return array<vec4f, 2>(x[at], x[at + 1u]);
  //#end
}

//#if !SUBGROUPS
var<workgroup> sums: array<f32, THREADS>;

fn sum_of_lanes(value: f32, lane: u32, l: u32) -> f32 {
  workgroupBarrier();
  sums[l] = value;
  for (var half = LANES / 2u; half > 0u; half >>= 1u) {
    workgroupBarrier();
    if (lane < half) {
      sums[l] += sums[l + half];
    }
  }
  workgroupBarrier();
  return sums[l];
}
//#end
