// Prepares keys, values and queries of a step (norm, RoPE, calibration, rotation), and quantizes and stores keys and values.
// A workgroup has one head of a row. docs/formats/kv-page.md is the specification, whose order of sums is kept.
//#include append-shared

//#if HAS_CODES
fn load_book(is_key: bool, l: u32) {
  let book_at = select(V_CENTROIDS_AT, K_CENTROIDS_AT, is_key);
  for (var i = l; i < select(V_BOOK_SIZE, K_BOOK_SIZE, is_key); i += THREADS) {
    book[i] = constants[book_at + i];
  }
}
//#end

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  //#if IS_ALONE
  // Behind the rows of the step are as many workgroups that see to the token which leaves the window when the row comes in.
  let is_passed = group.x >= p.rows;
  let row = group.x - select(0u, p.rows, is_passed);
  //#else
  let row = group.x;
  //#end
  let head = FIRST_HEAD + group.y;
  let half = HEAD_DIM / 2u;
  let is_query = head < NUM_HEADS;
  let is_key = head >= NUM_HEADS && head < NUM_HEADS + NUM_KV_HEADS;
  let kv_head = select(head - NUM_HEADS, head - NUM_HEADS - NUM_KV_HEADS, !is_key);
  let source = row * ROW_VALUES + FIRST_VALUE + group.y * HEAD_DIM;
  // Finding the row's place takes three loads one after the other, which are under way while the row is prepared.
  let span = p.spans_at + step[p.rows_at + row * ROW_WORDS + ROW_SPAN] * SPAN_WORDS;
  //#if IS_ALONE
  let own_position = step[p.rows_at + row * ROW_WORDS + ROW_POSITION];
  let start = step[span + SPAN_START];
  let end = step[span + SPAN_END];
  let position = select(own_position, own_position + 1u - WINDOW, is_passed);
  // Tokens before this one have codes when the step is done. Pages out of reach of a sliding window are not there.
  let coded_end = select(0u, end + 1u - WINDOW, end + 1u > WINDOW);
  let first_page = select(0u, start + 1u - SLIDING, SLIDING > 0u && start + 1u > SLIDING) / PAGE_TOKENS;
  let is_coded = position < coded_end && position / PAGE_TOKENS >= first_page;
  if (is_passed) {
    // Rows of this step see to their own codes, and tokens whose place in the window is gone have theirs already.
    let is_due = own_position + 1u >= WINDOW && position < start && position >= step[span + SPAN_RESIDUAL_START];
    if (is_query || !is_due || !is_coded) {
      return;
    }
  }
  //#else
  let position = step[p.rows_at + row * ROW_WORDS + ROW_POSITION];
  //#end
  let page = (step[step[span + SPAN_TABLE] + position / PAGE_TOKENS] & SLOT_MASK) * PAGE_BYTES;
  let slot = position % PAGE_TOKENS;
  //#if HAS_RESIDUAL
  let residual = step[step[span + SPAN_RESIDUAL_TABLE] + position / RESIDUAL_TOKENS];
  let residual_end = step[span + SPAN_RESIDUAL_ENTRIES];
  //#end
  //#if WINDOW_CODES
  let window_page = (residual & SLOT_MASK) * RESIDUAL_BYTES;
  let window_slot = position % RESIDUAL_TOKENS;
  let window_row = kv_head * RESIDUAL_TOKENS + window_slot;
  let codes_at = window_page + select(RESIDUAL_V_AT, RESIDUAL_K_AT, is_key) + window_row * HEAD_DIM;
  let scale_at = window_page + select(WINDOW_V_SCALES_AT, WINDOW_K_SCALES_AT, is_key) + window_row * 2u;
  //#end
  //#if IS_ALONE
  if (is_passed) {
    let scale = half_of_window(scale_at);
    for (var i = l; i < HEAD_DIM; i += THREADS) {
      let byte = codes_at + i;
      let code = (atomicLoad(&residual_pages[byte >> 2u]) >> ((byte & 3u) * 8u)) & 0xffu;
      xs[i] = scale * constants[WINDOW_CENTROIDS_AT + code];
    }
    load_book(is_key, l);
  } else {
  //#end
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    xs[i] = qkv[source + i];
  }
  // All other loads are issued before the first one is waited for.
  let angle = angles[row * half + min(l, half - 1u)];
  //#if NORM
  let weights_at = select(select(VALUE_NORM_AT, KEY_NORM_AT, is_key), QUERY_NORM_AT, is_query);
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    ys[i] = constants[weights_at + i];
  }
  //#end
  //#if KEEPS_SIGNS
  for (var i = l; i <= ROTATION_ROUNDS * ROTATION_SIZE; i += THREADS) {
    signs[i] = constants[ROTATION_AT + i];
  }
  //#end
  //#if HAS_CODES
  if (!is_query) {
    load_book(is_key, l);
  }
  //#end
  workgroupBarrier();
  //#if NORM_QK
  //#if !NORMS_TURNED
  if (is_query || is_key) {
    norm_head(l);
  }
  //#end
  //#end
  //#if NORM_V
  if (!is_query && !is_key) {
    norm_head(l);
  }
  //#end
  if (is_query || is_key) {
    if (l < half) {
      let a = xs[l];
      let b = xs[l + half];
      xs[l] = a * angle.x - b * angle.y;
      xs[l + half] = b * angle.x + a * angle.y;
    }
    //#if IS_LONG
    // A long head has more pairs than there are invocations.
    for (var i = l + THREADS; i < half; i += THREADS) {
      let more = angles[row * half + i];
      let a = xs[i];
      let b = xs[i + half];
      xs[i] = a * more.x - b * more.y;
      xs[i + half] = b * more.x + a * more.y;
    }
    //#end
    workgroupBarrier();
  }
  //#if NORM_QK
  //#if NORMS_TURNED
  if (is_query || is_key) {
    norm_head(l);
  }
  //#end
  //#end

  //#if HAS_KEYS
  if (is_query) {
    //#if K_DENSE
    multiply(QUERY_MATRIX_AT + (head / GROUP) * HEAD_DIM * HEAD_DIM, l);
    //#else
    //#if CALIBRATED
    for (var i = l; i < HEAD_DIM; i += THREADS) {
      xs[i] /= constants[BALANCE_AT + (head / GROUP) * HEAD_DIM + i];
    }
    workgroupBarrier();
    //#end
    //#if K_ROTATED
    rotate(l);
    //#end
    //#end
    var scale = p.softmax_scale;
    //#if GROWS
    scale *= 1.0 + p.growth * log(f32(1u + (position + p.growth_offset) / p.growth_length));
    //#end
    for (var i = l; i < HEAD_DIM; i += THREADS) {
      query[(row * NUM_HEADS + head) * HEAD_DIM + i] = xs[i] * scale;
    }
    return;
  }
  //#end

  // NaN and infinities are found by their bits, because compilers may assume that there are none.
  let largest = select(V_LARGEST_BITS, K_LARGEST_BITS, is_key);
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    let bits = bitcast<u32>(xs[i]);
    let magnitude = bits & 0x7fffffffu;
    xs[i] = bitcast<f32>(select((bits & 0x80000000u) | min(magnitude, largest), 0u, magnitude > 0x7f800000u));
  }
  workgroupBarrier();
  //#if HAS_KEYS
  if (is_key) {
    //#if CALIBRATED
    for (var i = l; i < HEAD_DIM; i += THREADS) {
      xs[i] -= constants[MEAN_AT + kv_head * HEAD_DIM + i];
      //#if !K_DENSE
      xs[i] *= constants[BALANCE_AT + kv_head * HEAD_DIM + i];
      //#end
    }
    workgroupBarrier();
    //#end
    //#if K_DENSE
    multiply(KEY_MATRIX_AT + kv_head * HEAD_DIM * HEAD_DIM, l);
    //#else
    //#if K_ROTATED
    rotate(l);
    //#end
    //#end
    //#if !WINDOW_CODES
    store_k(page, kv_head, slot, l);
    //#end
  }
  //#end
  //#if HAS_VALUES
  if (!is_key) {
    //#if V_DENSE
    multiply(VALUE_MATRIX_AT + kv_head * HEAD_DIM * HEAD_DIM, l);
    //#else
    //#if V_ROTATED
    rotate(l);
    //#end
    //#end
    //#if !WINDOW_CODES
    store_v(page, kv_head, slot, l);
    //#end
  }
  //#end
  //#if WINDOW_CODES
  if (residual != 0u && position / RESIDUAL_TOKENS < residual_end) {
    //#if HAS_KEYS
    if (is_key) {
      store_window_k(window_page, kv_head, window_slot, l);
    }
    //#end
    //#if HAS_VALUES
    if (!is_key) {
      store_window_v(window_page, kv_head, window_slot, l);
    }
    //#end
    workgroupBarrier();
    //#if IS_ALONE
    // Codes are made of what the window holds.
    for (var i = l; i < HEAD_DIM; i += THREADS) {
      xs[i] = window_scale * constants[WINDOW_CENTROIDS_AT + codes[i]];
    }
    //#end
  }
  //#if IS_ALONE
  if (!is_coded) {
    return;
  }
  //#end
  //#if IS_ALONE
  }
  //#end
  workgroupBarrier();
  //#if HAS_KEYS
  if (is_key) {
    store_k(page, kv_head, slot, l);
  }
  //#end
  //#if HAS_VALUES
  if (!is_key) {
    store_v(page, kv_head, slot, l);
  }
  //#end
  //#else
  //#if HAS_RESIDUAL
  if (residual != 0u && position / RESIDUAL_TOKENS < residual_end) {
    let plane = select(RESIDUAL_V_AT, RESIDUAL_K_AT, is_key);
    let at = ((residual & SLOT_MASK) * RESIDUAL_BYTES + plane
      + (kv_head * RESIDUAL_TOKENS + position % RESIDUAL_TOKENS) * HEAD_DIM * 2u) / 4u;
    for (var i = l; i < half; i += THREADS) {
      atomicStore(&residual_pages[at + i], f16_bits(xs[2u * i]) | (f16_bits(xs[2u * i + 1u]) << 16u));
    }
  }
  //#end
  //#end
}
