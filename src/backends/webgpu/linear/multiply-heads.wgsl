// Products of each head's vector with rows of a matrix that belong to the head. A workgroup has one head of a row.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> words: array<WORD>;
@group(0) @binding(2) var<storage, read> scales: array<SCALE>;
@group(0) @binding(3) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;
//#insert WEIGHT

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let head = group.x;
  let source = (group.y * p.heads + head) * p.input_width;
  let target_at = (group.y * p.heads + head) * p.output_width;
  let first = head * p.head_rows + p.first;
  let units = (p.cols + 7u) / 8u;
  //#if TRANSPOSED
  // An invocation adds up eight columns of the rows, each times its value of x.
  for (var unit = l; unit < units; unit += THREADS) {
    var low = vec4f();
    var high = vec4f();
    for (var i = 0u; i < p.count; i++) {
      let w = weight_unit((first + i) * p.stride, unit);
      let factor = x[source + i];
      low += factor * w[0];
      high += factor * w[1];
    }
    for (var i = 0u; i < 4u; i++) {
      let column = 8u * unit + i;
      //#if TAIL
      if (column < p.cols) {
        out[target_at + column] = low[i];
      }
      if (column + 4u < p.cols) {
        out[target_at + column + 4u] = high[i];
      }
      //#else
      out[target_at + column] = low[i];
      out[target_at + column + 4u] = high[i];
      //#end
    }
  }
  for (var i = l; i < p.input_width - p.count; i += THREADS) {
    out[target_at + p.cols + i] = x[source + p.count + i];
  }
  //#else
  for (var i = l; i < p.count; i += THREADS) {
    var sum = vec4f();
    for (var unit = 0u; unit < units; unit++) {
      let w = weight_unit((first + i) * p.stride, unit);
      let at = source + 8u * unit;
      //#if TAIL
      var halves = w;
      for (var n = 0u; n < min(8u, p.cols - 8u * unit); n++) {
        sum[n % 4u] += halves[n / 4u][n % 4u] * x[at + n];
      }
      //#else
      sum += w[0] * vec4f(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
      sum += w[1] * vec4f(x[at + 4u], x[at + 5u], x[at + 6u], x[at + 7u]);
      //#end
    }
    out[target_at + i] = (sum.x + sum.y) + (sum.z + sum.w);
  }
  for (var i = l; i < p.input_width - p.cols; i += THREADS) {
    out[target_at + p.count + i] = x[source + p.cols + i];
  }
  //#end
}
