// out[r] (+)= (x[r] - mean) / sqrt(mean((x[r] - mean)^2) + eps) * weight (+ bias) for `cols` values of each row, with one workgroup
// a row. Without CENTERED the mean that is subtracted is 0, which makes it an RMS norm. GROUPED: `groups` rows in turn have weights of their own.
// PLAIN: times the weight alone. CUT and LIKE: `cutoff` and `like` of `RowNorm`.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
//#if !IN_PLACE
@group(0) @binding(3) var<storage, read> x: array<f32>;
//#end
//#if BIASED
@group(0) @binding(BIAS_AT) var<storage, read> bias: array<f32>;
//#end
//#if SCALED
@group(0) @binding(FACTOR_AT) var<storage, read> factor: array<f32>;
//#end
//#if LIKE
@group(0) @binding(LIKE_AT) var<storage, read> like: array<f32>;
//#end
const THREADS = 256u;
//#include sum-of-threads

fn input(at: u32) -> f32 {
  //#if IN_PLACE
  return out[at];
  //#else
  return x[at];
  //#end
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let base = group.x * p.stride + p.first;
  let to = group.x * p.out_stride + p.out_first;
  //#if GROUPED
  let own = group.x % p.groups * p.cols;
  //#else
  let own = 0u;
  //#end
  var mean = 0.0;
  //#if CENTERED
  var sum = 0.0;
  for (var i = l; i < p.cols; i += THREADS) {
    sum += input(base + i);
  }
  mean = sum_of_threads(sum, l) / f32(p.cols);
  //#end
  //#if PLAIN
  let inverse = 1.0;
  //#else
  var squares = 0.0;
  for (var i = l; i < p.cols; i += THREADS) {
    let value = input(base + i) - mean;
    squares += value * value;
  }
  let square = sum_of_threads(squares, l) / f32(p.cols);
  //#if CUT
  mean += p.cutoff * sqrt(square);
  //#else
  //#if LIKE
  var lengths = 0.0;
  for (var i = l; i < p.cols; i += THREADS) {
    let value = like[group.x * p.like_stride + p.like_first + i];
    lengths += value * value;
  }
  let inverse = sqrt(sum_of_threads(lengths, l) / f32(p.cols) / max(square, p.eps));
  //#else
  let inverse = 1.0 / sqrt(square + p.eps);
  //#end
  //#end
  //#end
  for (var i = l; i < p.cols; i += THREADS) {
    //#if CUT
    var value = max(input(base + i) - mean, 0.0) * weight[own + i];
    //#else
    var value = (input(base + i) - mean) * inverse * weight[own + i];
    //#end
    //#if BIASED
    value += bias[own + i];
    //#end
    //#if ADDS
    value += out[to + i];
    //#end
    //#if SCALED
    value *= factor[0];
    //#end
    out[to + i] = value;
  }
}
