// What the rows of a chunk have to do with each other, for delta-chunks.wgsl. A workgroup has a chunk of a head of a span.
//
// With G the sums of the logarithms of decays from the first row of the chunk on, the changes u of the state solve
// u[i] + Σ_{j<i} β[i] exp(G[i] - G[j]) (k[i]·k[j]) u[j] = β[i] (v[i] - exp(G[i]) k[i]ᵀS). The inverse of that triangle, times β,
// is the weights of what rows want to change; exp(G[i] - G[j]) (q[i]·k[j]) is those of changes in what row i reads.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(3) var<storage, read> rates: array<f32>;
@group(0) @binding(4) var<storage, read> decays: array<f32>;
@group(0) @binding(5) var<storage, read> decay_log: array<f32>;
@group(0) @binding(6) var<storage, read> decay_bias: array<f32>;
@group(0) @binding(7) var<storage, read_write> work: array<vec4f>;
//#include delta-decay
//#include delta-chunk

// An invocation has two rows, and four of those before them.
const THREADS = CHUNK / 2u * CHUNK_UNITS;
const PITCH = CHUNK + 1u;
var<workgroup> triangle: array<f32, CHUNK * PITCH>;
var<workgroup> inverse: array<f32, CHUNK * PITCH>;
var<workgroup> row_rates: array<f32, CHUNK>;
var<workgroup> key_squares: array<f32, CHUNK>;
//#if BY_CHANNEL
// Rows of a chunk, four units of four channels at a time.
const TILE = 4u;
var<workgroup> tile_keys: array<vec4f, CHUNK * TILE>;
var<workgroup> tile_queries: array<vec4f, CHUNK * TILE>;
// Logarithms of decays, and then their sums.
var<workgroup> tile_logs: array<vec4f, CHUNK * TILE>;
var<workgroup> query_squares: array<f32, CHUNK * TILE>;
//#else
var<workgroup> query_squares: array<f32, CHUNK>;
var<workgroup> logs: array<f32, CHUNK>;
var<workgroup> sums: array<f32, CHUNK>;
//#end

fn key_factor(row: u32) -> f32 {
  return inverseSqrt(key_squares[row] + p.eps);
}

fn query_factor(row: u32) -> f32 {
  //#if BY_CHANNEL
  let at = row * TILE;
  let squares = query_squares[at] + query_squares[at + 1u] + query_squares[at + 2u] + query_squares[at + 3u];
  //#else
  let squares = query_squares[row];
  //#end
  return p.scale * inverseSqrt(squares + p.eps);
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let head = group.y;
  let record = p.states_at + group.z * STATE_WORDS;
  let chunk = chunk_of(record, group.x);
  let count = chunk.y;
  if (count == 0u || step[record + STATE_COUNT] <= FEW_ROWS) {
    return;
  }
  let first_row = step[record + STATE_ROW] + chunk.x;
  let query_at = query_of(head);
  let key_at = query_at + NUM_KEY_HEADS * UNITS;
  let own = 2u * (l / CHUNK_UNITS);
  let unit = l % CHUNK_UNITS;
  let other = 4u * unit;
  // Products of the own rows' keys and queries with the other rows' keys.
  var keys: array<vec4f, 2>;
  var reads: array<vec4f, 2>;
  //#if BY_CHANNEL
  let row = l / TILE;
  let at_row = (first_row + min(row, count - 1u)) * ROW_UNITS;
  var squares = 0.0;
  for (var s = 0u; s < UNITS; s += TILE) {
    let u = s + l % TILE;
    var key = vec4f();
    var query = vec4f();
    var log_decay = vec4f();
    if (u < UNITS && row < count) {
      key = qkv[at_row + key_at + u];
      query = qkv[at_row + query_at + u];
      let channel = head * KEY_DIM + 4u * u;
      for (var c = 0u; c < 4u; c++) {
        log_decay[c] = log_decay_of(first_row + row, head, channel + c);
      }
    }
    squares += dot(query, query);
    workgroupBarrier();
    tile_keys[l] = key;
    tile_queries[l] = query;
    tile_logs[l] = log_decay;
    workgroupBarrier();
    var sum = vec4f();
    for (var j = 0u; j <= row; j++) {
      sum += tile_logs[j * TILE + l % TILE];
    }
    workgroupBarrier();
    tile_logs[l] = sum;
    workgroupBarrier();
    if (u < UNITS && row < count) {
      let last = tile_logs[(CHUNK - 1u) * TILE + l % TILE];
      let to = slot_of(first_row + row, head) + KEYS_AT + u;
      work[to] = key * exp(sum);
      work[to + UNITS] = query * exp(sum);
      work[to + 2u * UNITS] = key * exp(last - sum);
      if (row == 0u) {
        work[p.decays_at + ((group.z * p.most_chunks + group.x) * NUM_HEADS + head) * UNITS + u] = exp(last);
      }
    }
    for (var t = 0u; t < TILE; t++) {
      for (var r = 0u; r < 2u; r++) {
        let at = (own + r) * TILE + t;
        for (var c = 0u; c < 4u; c++) {
          let at_other = (other + c) * TILE + t;
          let decayed = tile_keys[at_other] * exp(min(tile_logs[at] - tile_logs[at_other], vec4f()));
          keys[r][c] += dot(tile_keys[at], decayed);
          reads[r][c] += dot(tile_queries[at], decayed);
        }
      }
    }
  }
  query_squares[l] = squares;
  //#else
  var squares = vec2f();
  for (var u = 0u; u < UNITS; u++) {
    var others: array<vec4f, 4>;
    for (var c = 0u; c < 4u; c++) {
      others[c] = qkv[(first_row + min(other + c, count - 1u)) * ROW_UNITS + key_at + u];
    }
    for (var r = 0u; r < 2u; r++) {
      let at = (first_row + min(own + r, count - 1u)) * ROW_UNITS + u;
      let key = qkv[at + key_at];
      let query = qkv[at + query_at];
      keys[r] += vec4f(dot(key, others[0]), dot(key, others[1]), dot(key, others[2]), dot(key, others[3]));
      reads[r] += vec4f(dot(query, others[0]), dot(query, others[1]), dot(query, others[2]), dot(query, others[3]));
      squares[r] += dot(query, query);
    }
  }
  if (unit == 0u) {
    query_squares[own] = squares.x;
    query_squares[own + 1u] = squares.y;
  }
  //#end
  for (var r = 0u; r < 2u; r++) {
    if ((own + r) / 4u == unit) {
      key_squares[own + r] = keys[r][(own + r) % 4u];
    }
  }
  if (l < CHUNK) {
    let is_there = l < count;
    row_rates[l] = select(0.0, rate_of(first_row + min(l, count - 1u), head), is_there);
    //#if !BY_CHANNEL
    logs[l] = select(0.0, log_decay_of(first_row + min(l, count - 1u), head, head), is_there);
    //#end
  }
  workgroupBarrier();
  //#if !BY_CHANNEL
  if (l < CHUNK) {
    var sum = 0.0;
    for (var j = 0u; j <= l; j++) {
      sum += logs[j];
    }
    sums[l] = sum;
  }
  workgroupBarrier();
  //#end
  for (var r = 0u; r < 2u; r++) {
    let i = own + r;
    var weights = vec4f();
    for (var c = 0u; c < 4u; c++) {
      let j = other + c;
      //#if BY_CHANNEL
      let between = key_factor(j);
      //#else
      let between = key_factor(j) * exp(min(sums[i] - sums[j], 0.0));
      //#end
      triangle[i * PITCH + j] = select(0.0, row_rates[i] * key_factor(i) * between * keys[r][c], j < i);
      weights[c] = select(0.0, query_factor(i) * between * reads[r][c], j <= i);
    }
    if (i < count) {
      work[slot_of(first_row + i, head) + CHUNK_UNITS + unit] = weights;
    }
  }
  workgroupBarrier();
  // Columns of the inverse do not depend on each other.
  if (l < CHUNK) {
    for (var i = 0u; i < count; i++) {
      var sum = select(0.0, 1.0, i == l);
      for (var j = 0u; j < i; j++) {
        sum -= triangle[i * PITCH + j] * inverse[j * PITCH + l];
      }
      inverse[i * PITCH + l] = sum;
    }
  }
  workgroupBarrier();
  for (var r = 0u; r < 2u; r++) {
    let i = own + r;
    if (i < count) {
      var weights = vec4f();
      for (var c = 0u; c < 4u; c++) {
        weights[c] = inverse[i * PITCH + other + c] * row_rates[other + c];
      }
      work[slot_of(first_row + i, head) + unit] = weights;
    }
  }
  if (l < count) {
    //#if BY_CHANNEL
    let factors = vec4f(key_factor(l), query_factor(l), key_factor(l), 0.0);
    //#else
    let decay = exp(sums[l]);
    let last = sums[count - 1u];
    let factors = vec4f(key_factor(l) * decay, query_factor(l) * decay, key_factor(l) * exp(last - sums[l]), exp(last));
    //#end
    work[slot_of(first_row + l, head) + FACTORS_AT] = factors;
  }
}
