// Bindings, memory and rotation of the kernels that prepare and store rows: a workgroup has one vector, in `xs`.
//#if EXCHANGES
enable subgroups;
//#end
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> angles: array<vec2f>;
@group(0) @binding(3) var<storage, read> qkv: array<f32>;
// append-constants.ts says where norms of Q and K heads, key mean, balance, rotation and codebooks are.
@group(0) @binding(4) var<storage, read> constants: array<f32>;
@group(0) @binding(5) var<storage, read_write> pages: array<atomic<u32>>;
@group(0) @binding(6) var<storage, read_write> residual_pages: array<atomic<u32>>;
@group(0) @binding(7) var<storage, read_write> query: array<f32>;

// An invocation holds OWN coordinates of a head.
const OWN = (HEAD_DIM + THREADS - 1u) / THREADS;
//#insert MAX_FLOAT16

var<workgroup> xs: array<f32, HEAD_DIM>;
var<workgroup> ys: array<f32, HEAD_DIM>;
var<workgroup> sums: array<f32, NUM_FACTORS * 8u>;
var<workgroup> eighths: array<f32, 8>;
// A code for each coordinate, and before that those with all factors that are tried.
var<workgroup> codes: array<u32, HEAD_DIM * CODE_WORDS>;
//#if HAS_CODES
//#if CANDIDATES > 0
// Three vectors that feedback needs; for a trellis four, and two sets of its survivors' targets.
var<workgroup> candidates: array<f32, CANDIDATES>;
//#end
var<workgroup> cosines: array<f32, NUM_FACTORS>;
// The centroids and boundaries of the head's side are copied here, because they are searched once for every factor.
var<workgroup> book: array<f32, BOOK_SIZE>;
//#end
//#if WINDOW_CODES
// The scale of the row that `store_window` stores, as it reads from its 16 bits.
var<workgroup> window_scale: f32;
//#end

//#if TRELLIS
// Two sets of four survivors keep their codes of a run here, two bits a code; see trellis-text.ts.
var<workgroup> paths: array<vec2u, 8>;

fn code_of(path: vec2u, i: u32) -> u32 {
  return (path[i / 16u] >> (2u * (i % 16u))) & 3u;
}
// Returns the index of the least of four prices, the first one of equals.
fn least_of(price: vec4f) -> u32 {
  let low = select(0u, 1u, price.y < price.x);
  let high = select(2u, 3u, price.w < price.z);
  return select(low, high, min(price.z, price.w) < min(price.x, price.y));
}
fn least(price: vec4f) -> f32 {
  return min(min(price.x, price.y), min(price.z, price.w));
}
//#end

//#if KEEPS_SIGNS
// The signs of each round are followed by the factor that normalizes it.
var<workgroup> signs: array<f32, ROTATION_ROUNDS * ROTATION_SIZE + 1u>;
fn sign_of(i: u32) -> f32 {
  return signs[i];
}
//#else
// Long heads leave no room for the signs in workgroup memory.
fn sign_of(i: u32) -> f32 {
  return constants[ROTATION_AT + i];
}
//#end

//#include exact

// A rotation may gather numbers within f16's range into one beyond it, which is clamped and so does not become infinite.
fn f16_bits(x: f32) -> u32 {
  let bits = bitcast<u32>(clamp(x, -MAX_FLOAT16, MAX_FLOAT16));
  let sign = (bits >> 16u) & 0x8000u;
  let magnitude = bits & 0x7fffffffu;
  if (magnitude < 0x38800000u) {
    // The result is subnormal: adding 0.5 aligns the mantissa so that the adder does the rounding.
    return sign | (bitcast<u32>(bitcast<f32>(magnitude) + 0.5) - 0x3f000000u);
  }
  return sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13u) & 1u)) >> 13u);
}

// Sets the bits of `mask` from `byte` on by atomics, because other rows share the word.
fn put_main(byte: u32, value: u32, mask: u32) {
  let shift = (byte & 3u) * 8u;
  atomicAnd(&pages[byte >> 2u], ~(mask << shift));
  atomicOr(&pages[byte >> 2u], value << shift);
}

//#if ROTATED
//#insert HADAMARD

fn rotate(l: u32) {
  //#if QR
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    var s = vec4f(0.0);
    for (var j = 0u; j < HEAD_DIM; j += 4u) {
      let at = ROTATION_AT + i * HEAD_DIM + j;
      s += rounded4(vec4f(constants[at], constants[at + 1u], constants[at + 2u], constants[at + 3u])
        * vec4f(xs[j], xs[j + 1u], xs[j + 2u], xs[j + 3u]));
    }
    ys[i] = (s.x + s.y) + (s.z + s.w);
  }
  workgroupBarrier();
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    xs[i] = ys[i];
  }
  workgroupBarrier();
  //#else
  for (var round = 0u; round < ROTATION_ROUNDS; round++) {
    let start = round * (HEAD_DIM - ROTATION_SIZE);
    for (var i = l; i < ROTATION_SIZE; i += THREADS) {
      xs[start + i] *= sign_of(round * ROTATION_SIZE + i);
    }
    hadamard(start, l);
    let norm = sign_of(ROTATION_ROUNDS * ROTATION_SIZE);
    for (var i = l; i < ROTATION_SIZE; i += THREADS) {
      xs[start + i] *= norm;
    }
    workgroupBarrier();
  }
  //#end
}
//#end

//#if DENSE
fn column_of(at: u32) -> vec4f {
  return vec4f(constants[at], constants[at + HEAD_DIM], constants[at + 2u * HEAD_DIM], constants[at + 3u * HEAD_DIM]);
}
// Computes xs = matrix * xs; the matrix lies column by column.
fn multiply(matrix_at: u32, l: u32) {
  var s: array<vec4f, OWN>;
  for (var j = 0u; j < HEAD_DIM; j += 8u) {
    // Eight rows are under way before the first one is used, for each of the invocation's coordinates.
    let x = vec4f(xs[j], xs[j + 1u], xs[j + 2u], xs[j + 3u]);
    let y = vec4f(xs[j + 4u], xs[j + 5u], xs[j + 6u], xs[j + 7u]);
    for (var own = 0u; own < OWN; own++) {
      let i = min(l + own * THREADS, HEAD_DIM - 1u);
      let a = column_of(matrix_at + j * HEAD_DIM + i);
      let b = column_of(matrix_at + (j + 4u) * HEAD_DIM + i);
      s[own] += rounded4(a * x);
      s[own] += rounded4(b * y);
    }
  }
  workgroupBarrier();
  for (var own = 0u; own < OWN; own++) {
    let i = l + own * THREADS;
    if (i < HEAD_DIM) {
      xs[i] = (s[own].x + s[own].y) + (s[own].z + s[own].w);
    }
  }
  workgroupBarrier();
}
//#end

//#if NORM
// Divides the head by its root mean square and multiplies it by the weights, which are in ys.
fn norm_head(l: u32) {
  if (l < 8u) {
    var part = 0.0;
    for (var i = l; i < HEAD_DIM; i += 8u) {
      part += xs[i] * xs[i];
    }
    eighths[l] = part;
  }
  workgroupBarrier();
  let total = ((eighths[0] + eighths[1]) + (eighths[2] + eighths[3])) + ((eighths[4] + eighths[5]) + (eighths[6] + eighths[7]));
  let inverse = 1.0 / sqrt(total / f32(HEAD_DIM) + p.eps);
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    xs[i] = xs[i] * inverse * ys[i];
  }
  workgroupBarrier();
}
//#end

//#insert ROOT
//#insert STORE_K
//#insert STORE_V
//#if WINDOW_CODES
// Does what put_main does in the pages of sinks and window.
fn put_window(byte: u32, value: u32, mask: u32) {
  let shift = (byte & 3u) * 8u;
  atomicAnd(&residual_pages[byte >> 2u], ~(mask << shift));
  atomicOr(&residual_pages[byte >> 2u], value << shift);
}
//#if IS_ALONE
fn half_of_window(byte: u32) -> f32 {
  return unpack2x16float(atomicLoad(&residual_pages[byte >> 2u]) >> ((byte & 2u) * 8u)).x;
}
//#end
//#insert STORE_WINDOW
//#end
