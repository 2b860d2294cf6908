// Where the chunks of a span lie, and what delta-weights.wgsl leaves for delta-chunks.wgsl of each row of a head: SLOT vectors, those of
// the weights of wanted values, of the weights of changes, and of four factors; with decays by channel then those of keys and queries as
// they meet the state before the chunk, and of keys as they are left in the state behind it.
const UNITS = KEY_DIM / 4u;
const NUM_KEY_HEADS = NUM_HEADS / GROUP;
const ROW_UNITS = 2u * NUM_KEY_HEADS * UNITS + NUM_HEADS * VALUE_DIM / 4u;
const CHUNK_UNITS = CHUNK / 4u;
const FACTORS_AT = 2u * CHUNK_UNITS;
const KEYS_AT = FACTORS_AT + 1u;

/// The first row of the n-th chunk of a span, counted from the span's, and its number of rows: none behind the last one. A chunk ends
/// where a state is stored.
fn chunk_of(record: u32, n: u32) -> vec2u {
  let first_end = step[record + STATE_FIRST_END];
  let before = (first_end + CHUNK - 1u) / CHUNK;
  let is_before = n < before;
  let begin = select(first_end + (n - before) * CHUNK, n * CHUNK, is_before);
  let end = select(step[record + STATE_SECOND_END], first_end, is_before);
  return vec2u(begin, select(0u, min(CHUNK, end - begin), begin < end));
}

/// The first vector of a head's query in a row; its key is NUM_KEY_HEADS * UNITS behind it.
fn query_of(head: u32) -> u32 {
  //#if TILED
  return head % NUM_KEY_HEADS * UNITS;
  //#else
  return head / GROUP * UNITS;
  //#end
}

fn slot_of(row: u32, head: u32) -> u32 {
  return (row * NUM_HEADS + head) * SLOT;
}
