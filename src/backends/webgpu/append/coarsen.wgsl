// Codes the rows of a page anew in fewer bits, from their own codes, into a page of a coarser tier. A workgroup has one head of a row.
//#include append-shared

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  //#if HAS_KEYS
  let is_key = group.x < NUM_KV_HEADS;
  //#else
  let is_key = false;
  //#end
  let head = group.x % NUM_KV_HEADS;
  let slot = group.y;
  let page = p.to_slot * PAGE_BYTES;
  let book_at = select(V_CENTROIDS_AT, K_CENTROIDS_AT, is_key);
  for (var i = l; i < select(V_BOOK_SIZE, K_BOOK_SIZE, is_key); i += THREADS) {
    book[i] = constants[book_at + i];
  }
  //#insert READ
  workgroupBarrier();
  //#if HAS_KEYS
  if (is_key) {
    store_k(page, head, slot, l);
  }
  //#end
  //#if HAS_VALUES
  if (!is_key) {
    store_v(page, head, slot, l);
  }
  //#end
}
