// The gated delta rule, chunk by chunk, with what delta-weights.wgsl has left of each. A workgroup has COLUMNS columns of the state of a
// head of a span, and keeps them until the span ends. LANES invocations share the rows of a chunk and the channels of keys of a column out.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> qkv: array<vec4f>;
@group(0) @binding(3) var<storage, read> work: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> pages: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
//#include delta-chunk

const LANES = CHUNK_UNITS;
const THREADS = COLUMNS * LANES;
const OWN = (UNITS + LANES - 1u) / LANES;
// Four channels of keys of a column in a vector.
var<workgroup> state: array<vec4f, UNITS * COLUMNS>;
// Of four rows of a column: what they want to change, and the changes.
var<workgroup> wanted: array<vec4f, CHUNK_UNITS * COLUMNS>;
var<workgroup> changes: array<vec4f, CHUNK_UNITS * COLUMNS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let own_column = l % COLUMNS;
  let column = group.x * COLUMNS + own_column;
  let has_column = column < VALUE_DIM;
  let lane = l / COLUMNS;
  let head = group.y;
  let record = p.states_at + group.z * STATE_WORDS;
  if (step[record + STATE_COUNT] <= FEW_ROWS) {
    return;
  }
  let before = step[record + STATE_BEFORE];
  let state_at = p.part_at + head * KEY_DIM * VALUE_DIM + column;
  for (var u = lane; u < UNITS; u += LANES) {
    var values = vec4f();
    if (before != 0u && has_column) {
      let at = (before - 1u) * p.page_words + state_at + 4u * u * VALUE_DIM;
      values = vec4f(pages[at], pages[at + VALUE_DIM], pages[at + 2u * VALUE_DIM], pages[at + 3u * VALUE_DIM]);
    }
    state[u * COLUMNS + own_column] = values;
  }
  let query_at = query_of(head);
  let key_at = query_at + NUM_KEY_HEADS * UNITS;
  let value_at = 2u * NUM_KEY_HEADS * UNITS + (head * VALUE_DIM + min(column, VALUE_DIM - 1u)) / 4u;
  for (var n = 0u; n < p.most_chunks; n++) {
    let chunk = chunk_of(record, n);
    let count = chunk.y;
    if (count == 0u) {
      break;
    }
    let first_row = step[record + STATE_ROW] + chunk.x;
    // Rows that there are not repeat the last one, and are dropped.
    var rows: array<u32, 4>;
    for (var r = 0u; r < 4u; r++) {
      rows[r] = first_row + min(4u * lane + r, count - 1u);
    }
    workgroupBarrier();
    var known = vec4f();
    var read = vec4f();
    for (var u = 0u; u < UNITS; u++) {
      let values = state[u * COLUMNS + own_column];
      for (var r = 0u; r < 4u; r++) {
        //#if BY_CHANNEL
        let at = slot_of(rows[r], head) + KEYS_AT + u;
        known[r] += dot(work[at], values);
        read[r] += dot(work[at + UNITS], values);
        //#else
        let at = rows[r] * ROW_UNITS + u;
        known[r] += dot(qkv[at + key_at], values);
        read[r] += dot(qkv[at + query_at], values);
        //#end
      }
    }
    var own_wanted = vec4f();
    for (var r = 0u; r < 4u; r++) {
      let factors = work[slot_of(rows[r], head) + FACTORS_AT];
      if (4u * lane + r < count) {
        own_wanted[r] = qkv[rows[r] * ROW_UNITS + value_at][column % 4u] - factors.x * known[r];
      }
      read[r] *= factors.y;
    }
    wanted[lane * COLUMNS + own_column] = own_wanted;
    workgroupBarrier();
    var own_changes = vec4f();
    for (var u = 0u; u <= lane; u++) {
      let values = wanted[u * COLUMNS + own_column];
      for (var r = 0u; r < 4u; r++) {
        own_changes[r] += dot(work[slot_of(rows[r], head) + u], values);
      }
    }
    changes[lane * COLUMNS + own_column] = own_changes;
    workgroupBarrier();
    for (var u = 0u; u <= lane; u++) {
      let values = changes[u * COLUMNS + own_column];
      for (var r = 0u; r < 4u; r++) {
        read[r] += dot(work[slot_of(rows[r], head) + CHUNK_UNITS + u], values);
      }
    }
    for (var r = 0u; r < 4u; r++) {
      if (4u * lane + r < count && has_column) {
        out[(rows[r] * NUM_HEADS + head) * VALUE_DIM + column] = read[r];
      }
    }
    // The state behind the chunk.
    var after: array<vec4f, OWN>;
    for (var i = 0u; i < OWN; i++) {
      let u = min(lane + LANES * i, UNITS - 1u);
      //#if BY_CHANNEL
      let decay = work[p.decays_at + ((group.z * p.most_chunks + n) * NUM_HEADS + head) * UNITS + u];
      //#else
      let decay = work[slot_of(first_row, head) + FACTORS_AT].w;
      //#end
      after[i] = state[u * COLUMNS + own_column] * decay;
    }
    for (var j = 0u; j < count; j++) {
      let row = first_row + j;
      let change = changes[j / 4u * COLUMNS + own_column][j % 4u] * work[slot_of(row, head) + FACTORS_AT].z;
      for (var i = 0u; i < OWN; i++) {
        let u = min(lane + LANES * i, UNITS - 1u);
        //#if BY_CHANNEL
        after[i] += work[slot_of(row, head) + KEYS_AT + 2u * UNITS + u] * change;
        //#else
        after[i] += qkv[row * ROW_UNITS + key_at + u] * change;
        //#end
      }
    }
    let end = chunk.x + count;
    let is_first = end == step[record + STATE_FIRST_END];
    let is_stored = is_first || end == step[record + STATE_SECOND_END];
    let slot = step[record + select(STATE_SECOND, STATE_FIRST, is_first)];
    for (var i = 0u; i < OWN; i++) {
      let u = lane + LANES * i;
      if (u < UNITS) {
        state[u * COLUMNS + own_column] = after[i];
        if (is_stored && has_column) {
          let at = slot * p.page_words + state_at + 4u * u * VALUE_DIM;
          for (var c = 0u; c < 4u; c++) {
            pages[at + c * VALUE_DIM] = after[i][c];
          }
        }
      }
    }
  }
}
