// The gated delta rule, row by row, for spans of few rows. A workgroup has some columns of the state of a head of a span: PARTS
// invocations share the channels of keys of a column out, and keep what they have of the state to themselves until the span ends.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> qkv: array<f32>;
@group(0) @binding(3) var<storage, read> rates: array<f32>;
@group(0) @binding(4) var<storage, read> decays: array<f32>;
@group(0) @binding(5) var<storage, read> decay_log: array<f32>;
@group(0) @binding(6) var<storage, read> decay_bias: array<f32>;
@group(0) @binding(7) var<storage, read_write> pages: array<f32>;
@group(0) @binding(8) var<storage, read_write> out: array<f32>;

const THREADS = COLUMNS * PARTS;
const NUM_KEY_HEADS = NUM_HEADS / GROUP;
const WIDTH = 2u * NUM_KEY_HEADS * KEY_DIM + NUM_HEADS * VALUE_DIM;

// Of two rows in turn, so that nobody has to wait before the next row is loaded.
var<workgroup> keys: array<f32, 2u * KEY_DIM>;
var<workgroup> queries: array<f32, 2u * KEY_DIM>;
//#if BY_CHANNEL
var<workgroup> channel_decays: array<f32, 2u * KEY_DIM>;
//#end
// k·k, q·q, kᵀS and qᵀS of the part of an invocation, and k·q.
var<workgroup> sums: array<vec4f, THREADS>;
var<workgroup> products: array<f32, THREADS>;

//#include delta-decay

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let column = group.x * COLUMNS + l % COLUMNS;
  let part = l / COLUMNS;
  let head = group.y;
  let record = p.states_at + group.z * STATE_WORDS;
  let first_row = step[record + STATE_ROW];
  let rows = step[record + STATE_COUNT];
  if (rows > p.most_rows) {
    return;
  }
  let before = step[record + STATE_BEFORE];
  let has_column = column < VALUE_DIM;
  // Of channel part + PARTS·i of the column.
  var state: array<f32, OWN>;
  let state_at = p.part_at + head * KEY_DIM * VALUE_DIM + column;
  for (var i = 0u; i < OWN; i++) {
    let d = part + PARTS * i;
    state[i] = 0.0;
    if (before != 0u && has_column && d < KEY_DIM) {
      state[i] = pages[(before - 1u) * p.page_words + state_at + d * VALUE_DIM];
    }
  }
  for (var n = 0u; n < rows; n++) {
    let row = first_row + n;
    let turn = (n & 1u) * KEY_DIM;
    //#if TILED
    let query_at = row * WIDTH + head % NUM_KEY_HEADS * KEY_DIM;
    //#else
    let query_at = row * WIDTH + head / GROUP * KEY_DIM;
    //#end
    for (var d = l; d < KEY_DIM; d += THREADS) {
      queries[turn + d] = qkv[query_at + d];
      keys[turn + d] = qkv[query_at + NUM_KEY_HEADS * KEY_DIM + d];
      //#if BY_CHANNEL
      channel_decays[turn + d] = exp(log_decay_of(row, head, head * KEY_DIM + d));
      //#end
    }
    //#if !BY_CHANNEL
    let decay = exp(log_decay_of(row, head, head));
    //#end
    workgroupBarrier();
    var own = vec4f(0.0);
    var product = 0.0;
    for (var i = 0u; i < OWN; i++) {
      let d = part + PARTS * i;
      if (d < KEY_DIM) {
        let k = keys[turn + d];
        let q = queries[turn + d];
        //#if BY_CHANNEL
        state[i] *= channel_decays[turn + d];
        //#else
        state[i] *= decay;
        //#end
        own += vec4f(k * k, q * q, k * state[i], q * state[i]);
        product += k * q;
      }
    }
    sums[l] = own;
    products[l] = product;
    workgroupBarrier();
    var total = vec4f(0.0);
    product = 0.0;
    for (var other = 0u; other < PARTS; other++) {
      total += sums[other * COLUMNS + l % COLUMNS];
      product += products[other * COLUMNS + l % COLUMNS];
    }
    let key_factor = inverseSqrt(total.x + p.eps);
    let query_factor = p.scale * inverseSqrt(total.y + p.eps);
    var change = 0.0;
    if (has_column) {
      let value = qkv[row * WIDTH + 2u * NUM_KEY_HEADS * KEY_DIM + head * VALUE_DIM + column];
      change = rate_of(row, head) * (value - total.z * key_factor);
      if (part == 0u) {
        out[(row * NUM_HEADS + head) * VALUE_DIM + column] = query_factor * (total.w + product * key_factor * change);
      }
    }
    for (var i = 0u; i < OWN; i++) {
      let d = part + PARTS * i;
      if (d < KEY_DIM) {
        state[i] += keys[turn + d] * key_factor * change;
      }
    }
    var slot = 0u;
    var is_stored = false;
    if (n + 1u == step[record + STATE_FIRST_END]) {
      slot = step[record + STATE_FIRST];
      is_stored = true;
    } else if (n + 1u == step[record + STATE_SECOND_END]) {
      slot = step[record + STATE_SECOND];
      is_stored = true;
    }
    if (is_stored && has_column) {
      for (var i = 0u; i < OWN; i++) {
        let d = part + PARTS * i;
        if (d < KEY_DIM) {
          pages[slot * p.page_words + state_at + d * VALUE_DIM] = state[i];
        }
      }
    }
  }
}
