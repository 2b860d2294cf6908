// Prepares the queries of latent attention in place, and quantizes and stores the latent of each row with its rotary part. A workgroup
// has one head of a row; the latent comes behind the query heads. docs/formats/kv-page.md is the specification.
//#include append-shared

const WIDTH = HEAD_DIM + ROTARY_DIM;
var<workgroup> turned: array<f32, ROTARY_DIM>;

// NaN and infinities are found by their bits, because compilers may assume that there are none.
fn sanitized(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  let magnitude = bits & 0x7fffffffu;
  return bitcast<f32>(select((bits & 0x80000000u) | min(magnitude, K_LARGEST_BITS), 0u, magnitude > 0x7f800000u));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) l: u32) {
  let row = group.x;
  let is_query = group.y < NUM_HEADS;
  let half = ROTARY_DIM / 2u;
  let source = select(row * WIDTH, (row * NUM_HEADS + group.y) * WIDTH, is_query);
  let span = p.spans_at + step[p.rows_at + row * ROW_WORDS + ROW_SPAN] * SPAN_WORDS;
  let position = step[p.rows_at + row * ROW_WORDS + ROW_POSITION];
  let page = (step[step[span + SPAN_TABLE] + position / PAGE_TOKENS] & SLOT_MASK) * PAGE_BYTES;
  let slot = position % PAGE_TOKENS;
  //#if HAS_RESIDUAL
  let residual = step[step[span + SPAN_RESIDUAL_TABLE] + position / RESIDUAL_TOKENS];
  let residual_end = step[span + SPAN_RESIDUAL_ENTRIES];
  //#end
  //#if KEEPS_SIGNS
  for (var i = l; i <= ROTATION_ROUNDS * ROTATION_SIZE; i += THREADS) {
    signs[i] = constants[ROTATION_AT + i];
  }
  //#end
  //#if HAS_CODES
  for (var i = l; i < K_BOOK_SIZE; i += THREADS) {
    book[i] = constants[K_CENTROIDS_AT + i];
  }
  //#end
  if (is_query) {
    for (var i = l; i < HEAD_DIM; i += THREADS) {
      xs[i] = query[source + i];
    }
    for (var i = l; i < ROTARY_DIM; i += THREADS) {
      turned[i] = query[source + HEAD_DIM + i];
    }
  } else {
    for (var i = l; i < HEAD_DIM; i += THREADS) {
      xs[i] = sanitized(qkv[source + i]);
    }
    for (var i = l; i < ROTARY_DIM; i += THREADS) {
      turned[i] = qkv[source + HEAD_DIM + i];
    }
  }
  workgroupBarrier();
  for (var i = l; i < half; i += THREADS) {
    let angle = angles[row * half + i];
    let a = turned[i];
    let b = turned[i + half];
    turned[i] = a * angle.x - b * angle.y;
    turned[i + half] = b * angle.x + a * angle.y;
  }
  workgroupBarrier();
  //#if K_ROTATED
  rotate(l);
  //#end

  if (is_query) {
    for (var i = l; i < HEAD_DIM; i += THREADS) {
      query[source + i] = xs[i] * p.softmax_scale;
    }
    for (var i = l; i < ROTARY_DIM; i += THREADS) {
      query[source + HEAD_DIM + i] = turned[i] * p.softmax_scale;
    }
    return;
  }
  for (var i = l; i < ROTARY_DIM; i += THREADS) {
    turned[i] = sanitized(turned[i]);
  }
  workgroupBarrier();
  store_k(page, 0u, slot, l);
  //#if WIDE_ROTARY
  for (var i = l; i < ROTARY_DIM; i += THREADS) {
    atomicStore(&pages[(page + ROTARY_AT) / 4u + slot * ROTARY_DIM + i], bitcast<u32>(turned[i]));
  }
  //#else
  for (var i = l; i < half; i += THREADS) {
    atomicStore(&pages[(page + ROTARY_AT) / 4u + slot * half + i], f16_bits(turned[2u * i]) | (f16_bits(turned[2u * i + 1u]) << 16u));
  }
  //#end
  //#if HAS_RESIDUAL
  if (residual != 0u && position / RESIDUAL_TOKENS < residual_end) {
    let copies = (residual & SLOT_MASK) * RESIDUAL_BYTES;
    let copy_slot = position % RESIDUAL_TOKENS;
    let at = (copies + RESIDUAL_K_AT) / 4u + copy_slot * HEAD_DIM / 2u;
    for (var i = l; i < HEAD_DIM / 2u; i += THREADS) {
      atomicStore(&residual_pages[at + i], f16_bits(xs[2u * i]) | (f16_bits(xs[2u * i + 1u]) << 16u));
    }
    let part_at = (copies + RESIDUAL_ROTARY_AT) / 4u + copy_slot * half;
    for (var i = l; i < half; i += THREADS) {
      atomicStore(&residual_pages[part_at + i], f16_bits(turned[2u * i]) | (f16_bits(turned[2u * i + 1u]) << 16u));
    }
  }
  //#end
}
