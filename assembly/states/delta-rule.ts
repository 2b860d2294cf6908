/**
 * @file The gated delta rule: a task is a head of a span. Few rows go one by one; of more, up to ROWS_MOST are computed together, so
 * that the state is read and written once for all of them.
 *
 * With G the sums of the logarithms of decays from the first row of a chunk on, row i changes the state by u[i] = β[i] (v[i] −
 * exp(G[i]) k[i]ᵀS − Σ_{j<i} exp(G[i] − G[j]) (k[i]·k[j]) u[j]), where S is the state before the chunk; then q[i] reads
 * exp(G[i]) q[i]ᵀS + Σ_{j≤i} exp(G[i] − G[j]) (q[i]·k[j]) u[j]. Columns of S do not depend on each other.
 */
import {
  BY_CHANNEL, DECAYS, DECAY_BIAS, DECAY_BOUND, DECAY_LOG, DECAY_STRIDE, EPS, GROUP, KEY_DIM, MAX_DELTA_DIM, NUM_HEADS, OUT, QKV, RATES,
  RATE_SCALE, RATE_STRIDE, ROWS_LEAST, ROWS_MOST, SPANS, SPAN_BEFORE, SPAN_BYTES, SPAN_COUNT, SPAN_FIRST, SPAN_FIRST_END, SPAN_ROW,
  SPAN_SECOND, SPAN_SECOND_END, SPAN_START, STRIDE, TILED, VALUE_DIM,
} from "../generated/delta-rule-params";
import { SCRATCH_BYTES } from "../generated/limits";
import { softplus } from "../simd/softplus";
import { exp, expOne, horizontalSum, madd, transposeSumF32 } from "../simd/vector";

// The scratch memory of a thread. Rows of keys and queries lie one after the other, each of keyDim values.
const VECTORS: usize = <usize>ROWS_MOST * MAX_DELTA_DIM * 4;
const WEIGHTS: usize = <usize>(ROWS_MOST * ROWS_MOST) * 4;
const KEYS: usize = 0;
const QUERIES: usize = KEYS + VECTORS;
/** Keys times what the state keeps of them at the end of a chunk; in single rows the keys and decays that meet the old state. */
const KEPT: usize = QUERIES + VECTORS;
const CHANGES: usize = KEPT + VECTORS;
/** Weights of earlier changes in a row's change, and in what its query reads. */
const BETWEEN: usize = CHANGES + VECTORS;
const READS: usize = BETWEEN + WEIGHTS;
/** f32 [ROWS_MOST] each. */
const SUMS: usize = READS + WEIGHTS;
const RATE: usize = SUMS + <usize>ROWS_MOST * 4;
const END: usize = RATE + <usize>ROWS_MOST * 4;

/** to = x · scale / sqrt(x·x + eps) */
function normalize(x: usize, to: usize, bytes: usize, scale: f32, eps: f32): void {
  let squares = f32x4.splat(0);
  for (let i: usize = 0; i < bytes; i += 16) {
    const v = v128.load(x + i);
    squares = f32x4.add(squares, f32x4.mul(v, v));
  }
  const factor = f32x4.splat(scale / sqrt<f32>(horizontalSum(squares) + eps));
  for (let i: usize = 0; i < bytes; i += 16) v128.store(to + i, f32x4.mul(v128.load(x + i), factor));
}

// @ts-ignore: decorator
@inline function sigmoid(x: f32): f32 {
  return 1 / (1 + expOne(-x));
}

/** The logarithm of a row's decay: of a head, or of one of its channels. */
function logDecay(p: usize, row: usize, head: i32, at: i32): f32 {
  const inputs = <usize>load<u32>(p, DECAYS) + row * (<usize>load<u32>(p, DECAY_STRIDE) << 2);
  const x = load<f32>(inputs + (<usize>at << 2)) + load<f32>(<usize>load<u32>(p, DECAY_BIAS) + (<usize>at << 2));
  const rate = expOne(load<f32>(<usize>load<u32>(p, DECAY_LOG) + (<usize>head << 2)));
  const bound = load<f32>(p, DECAY_BOUND);
  return bound == 0 ? -rate * softplus(x) : bound * sigmoid(rate * x);
}

function rateOf(p: usize, row: usize, head: i32): f32 {
  const inputs = <usize>load<u32>(p, RATES) + row * (<usize>load<u32>(p, RATE_STRIDE) << 2);
  return load<f32>(p, RATE_SCALE) * sigmoid(load<f32>(inputs + (<usize>head << 2)));
}

// @ts-ignore: decorator
@inline function queryOf(p: usize, row: usize, head: i32): usize {
  const group = load<i32>(p, GROUP);
  const own = load<i32>(p, TILED) ? head % (load<i32>(p, NUM_HEADS) / group) : head / group;
  const at = <usize>own * (<usize>load<u32>(p, KEY_DIM) << 2);
  return <usize>load<u32>(p, QKV) + row * (<usize>load<u32>(p, STRIDE) << 2) + at;
}

/** Bytes from the query of a row to its key, and to its first value. */
// @ts-ignore: decorator
@inline function keysBytes(p: usize): usize {
  return <usize>(load<i32>(p, NUM_HEADS) / load<i32>(p, GROUP)) * (<usize>load<u32>(p, KEY_DIM) << 2);
}

// @ts-ignore: decorator
@inline function valueOf(p: usize, row: usize, head: i32): usize {
  const at = 2 * keysBytes(p) + <usize>head * (<usize>load<u32>(p, VALUE_DIM) << 2);
  return <usize>load<u32>(p, QKV) + row * (<usize>load<u32>(p, STRIDE) << 2) + at;
}

// @ts-ignore: decorator
@inline function outOf(p: usize, row: usize, head: i32): usize {
  return <usize>load<u32>(p, OUT) + (row * <usize>load<u32>(p, NUM_HEADS) + <usize>head) * (<usize>load<u32>(p, VALUE_DIM) << 2);
}

/** The 16 columns from byte `at` on, or 4 of them: of the state, of the row's value and of its output. */
// @ts-ignore: decorator
@inline function stepColumns(
  wide: bool, from: usize, to: usize, value: usize, out: usize, at: usize, keyDim: i32, bytes: usize, rate: v128, scratch: usize,
): void {
  const zero = f32x4.splat(0);
  let a = zero, b = zero, c = zero, d = zero;
  let s = from + at;
  const keyEnd = scratch + (<usize>keyDim << 2);
  for (let k = scratch; k < keyEnd; k += 4) {
    const kept = v128.load32_splat(k + KEPT);
    a = madd(v128.load(s), kept, a);
    if (wide) {
      b = madd(v128.load(s, 16), kept, b);
      c = madd(v128.load(s, 32), kept, c);
      d = madd(v128.load(s, 48), kept, d);
    }
    s += bytes;
  }
  a = f32x4.mul(f32x4.sub(v128.load(value + at), a), rate);
  if (wide) {
    b = f32x4.mul(f32x4.sub(v128.load(value + at, 16), b), rate);
    c = f32x4.mul(f32x4.sub(v128.load(value + at, 32), c), rate);
    d = f32x4.mul(f32x4.sub(v128.load(value + at, 48), d), rate);
  }
  let e = zero, f = zero, g = zero, h = zero;
  s = from + at;
  let t = to + at;
  for (let k = scratch; k < keyEnd; k += 4) {
    const key = v128.load32_splat(k + KEYS), query = v128.load32_splat(k + QUERIES), decay = v128.load32_splat(k + CHANGES);
    const x = madd(key, a, f32x4.mul(v128.load(s), decay));
    v128.store(t, x);
    e = madd(x, query, e);
    if (wide) {
      const y = madd(key, b, f32x4.mul(v128.load(s, 16), decay));
      v128.store(t, y, 16);
      f = madd(y, query, f);
      const z = madd(key, c, f32x4.mul(v128.load(s, 32), decay));
      v128.store(t, z, 32);
      g = madd(z, query, g);
      const w = madd(key, d, f32x4.mul(v128.load(s, 48), decay));
      v128.store(t, w, 48);
      h = madd(w, query, h);
    }
    s += bytes;
    t += bytes;
  }
  v128.store(out + at, e);
  if (wide) {
    v128.store(out + at, f, 16);
    v128.store(out + at, g, 32);
    v128.store(out + at, h, 48);
  }
}

/** One row. from, to: the head's state before and after, which may be the same. */
function stepRow(p: usize, row: usize, head: i32, from: usize, to: usize, scratch: usize): void {
  const keyDim = load<i32>(p, KEY_DIM), keyBytes = <usize>keyDim << 2, bytes = <usize>load<u32>(p, VALUE_DIM) << 2;
  const eps = load<f32>(p, EPS), query = queryOf(p, row, head);
  normalize(query + keysBytes(p), scratch + KEYS, keyBytes, 1, eps);
  normalize(query, scratch + QUERIES, keyBytes, 1 / sqrt<f32>(<f32>keyDim), eps);
  const byChannel = load<u32>(p, BY_CHANNEL) != 0;
  const one = byChannel ? <f32>0 : expOne(logDecay(p, row, head, head));
  for (let i = 0; i < keyDim; i++) {
    const at = scratch + (<usize>i << 2);
    const decay = byChannel ? expOne(logDecay(p, row, head, head * keyDim + i)) : one;
    store<f32>(at + CHANGES, decay);
    store<f32>(at + KEPT, decay * load<f32>(at + KEYS));
  }
  const rate = f32x4.splat(rateOf(p, row, head));
  const value = valueOf(p, row, head), out = outOf(p, row, head);
  let at: usize = 0;
  for (; at + 64 <= bytes; at += 64) stepColumns(true, from, to, value, out, at, keyDim, bytes, rate, scratch);
  for (; at < bytes; at += 16) stepColumns(false, from, to, value, out, at, keyDim, bytes, rate, scratch);
}

/** Keys, queries, and the weights between the rows of a chunk. */
function prepareChunk(p: usize, first: usize, n: i32, head: i32, scratch: usize): void {
  const keyDim = load<i32>(p, KEY_DIM), keyBytes = <usize>keyDim << 2, eps = load<f32>(p, EPS);
  const scale: f32 = 1 / sqrt<f32>(<f32>keyDim), toKey = keysBytes(p);
  let sum: f32 = 0;
  for (let i = 0; i < n; i++) {
    const row = first + <usize>i, query = queryOf(p, row, head);
    normalize(query + toKey, scratch + KEYS + <usize>i * keyBytes, keyBytes, 1, eps);
    normalize(query, scratch + QUERIES + <usize>i * keyBytes, keyBytes, scale, eps);
    sum += logDecay(p, row, head, head);
    store<f32>(scratch + SUMS + (<usize>i << 2), sum);
    store<f32>(scratch + RATE + (<usize>i << 2), rateOf(p, row, head));
  }
  // Four earlier rows at a time; what stands for rows behind this one is not read.
  for (let i = 0; i < n; i++) {
    const key = scratch + KEYS + <usize>i * keyBytes, query = scratch + QUERIES + <usize>i * keyBytes;
    const own = v128.load32_splat(scratch + SUMS + (<usize>i << 2)), rate = v128.load32_splat(scratch + RATE + (<usize>i << 2));
    for (let j = 0; j <= i; j += 4) {
      const zero = f32x4.splat(0);
      let a = zero, b = zero, c = zero, d = zero, e = zero, f = zero, g = zero, h = zero;
      const other = scratch + KEYS + <usize>j * keyBytes;
      for (let at: usize = 0; at < keyBytes; at += 16) {
        const k = v128.load(key + at), q = v128.load(query + at);
        let y = v128.load(other + at);
        a = madd(k, y, a);
        e = madd(q, y, e);
        y = v128.load(other + keyBytes + at);
        b = madd(k, y, b);
        f = madd(q, y, f);
        y = v128.load(other + 2 * keyBytes + at);
        c = madd(k, y, c);
        g = madd(q, y, g);
        y = v128.load(other + 3 * keyBytes + at);
        d = madd(k, y, d);
        h = madd(q, y, h);
      }
      const decay = exp(f32x4.sub(own, v128.load(scratch + SUMS + (<usize>j << 2))));
      const to = scratch + (<usize>(i * ROWS_MOST + j) << 2);
      v128.store(to + BETWEEN, f32x4.mul(f32x4.mul(transposeSumF32(a, b, c, d), decay), rate));
      v128.store(to + READS, f32x4.mul(transposeSumF32(e, f, g, h), decay));
    }
  }
  const last = load<f32>(scratch + SUMS + (<usize>(n - 1) << 2));
  for (let i = 0; i < n; i++) {
    const kept = f32x4.splat(expOne(last - load<f32>(scratch + SUMS + (<usize>i << 2)))), at = scratch + <usize>i * keyBytes;
    for (let d: usize = 0; d < keyBytes; d += 16) v128.store(at + KEPT + d, f32x4.mul(v128.load(at + KEYS + d), kept));
  }
  for (let i = 0; i < n; i++) {
    const at = scratch + SUMS + (<usize>i << 2);
    store<f32>(at, expOne(load<f32>(at)));
  }
}

/** The 8 columns from byte `at` on, or 4 of them, of a chunk of n rows. */
// @ts-ignore: decorator
@inline function chunkColumns(
  wide: bool, p: usize, first: usize, n: i32, head: i32, from: usize, to: usize, at: usize, scratch: usize,
): void {
  const keyDim = load<i32>(p, KEY_DIM), keyBytes = <usize>keyDim << 2, bytes = <usize>load<u32>(p, VALUE_DIM) << 2;
  const rowBytes = <usize>load<u32>(p, STRIDE) << 2, outBytes = <usize>load<u32>(p, NUM_HEADS) * bytes;
  const value = valueOf(p, first, head) + at, out = outOf(p, first, head) + at, changes = scratch + CHANGES + at;
  const zero = f32x4.splat(0);
  // What keys and queries find in the state before the chunk, two rows at a time. Of an odd number the last is computed twice.
  for (let i = 0; i < n; i += 2) {
    const second = min(i + 1, n - 1);
    const x = scratch + <usize>i * keyBytes, y = scratch + <usize>second * keyBytes;
    let a = zero, b = zero, c = zero, d = zero, e = zero, f = zero, g = zero, h = zero;
    let s = from + at;
    for (let k: usize = 0; k < keyBytes; k += 4) {
      const left = v128.load(s), right = wide ? v128.load(s, 16) : zero;
      let t = v128.load32_splat(x + k + KEYS);
      a = madd(left, t, a);
      if (wide) b = madd(right, t, b);
      t = v128.load32_splat(x + k + QUERIES);
      c = madd(left, t, c);
      if (wide) d = madd(right, t, d);
      t = v128.load32_splat(y + k + KEYS);
      e = madd(left, t, e);
      if (wide) f = madd(right, t, f);
      t = v128.load32_splat(y + k + QUERIES);
      g = madd(left, t, g);
      if (wide) h = madd(right, t, h);
      s += bytes;
    }
    for (let r = 0; r < 2; r++) {
      const row = r == 0 ? i : second;
      const decay = v128.load32_splat(scratch + SUMS + (<usize>row << 2)), rate = v128.load32_splat(scratch + RATE + (<usize>row << 2));
      const v = value + <usize>row * rowBytes, u = changes + <usize>row * bytes, o = out + <usize>row * outBytes;
      v128.store(u, f32x4.mul(rate, f32x4.sub(v128.load(v), f32x4.mul(decay, r == 0 ? a : e))));
      v128.store(o, f32x4.mul(decay, r == 0 ? c : g));
      if (wide) {
        v128.store(u, f32x4.mul(rate, f32x4.sub(v128.load(v, 16), f32x4.mul(decay, r == 0 ? b : f))), 16);
        v128.store(o, f32x4.mul(decay, r == 0 ? d : h), 16);
      }
    }
  }
  // Each row's change less what earlier rows have changed, and then what its query reads of all of them.
  for (let i = 0; i < n; i++) {
    const weights = scratch + (<usize>(i * ROWS_MOST) << 2), u = changes + <usize>i * bytes, o = out + <usize>i * outBytes;
    let a = zero, b = zero, c = zero, d = zero;
    for (let j = 0; j < i; j++) {
      const between = v128.load32_splat(weights + BETWEEN + (<usize>j << 2)), reads = v128.load32_splat(weights + READS + (<usize>j << 2));
      const left = v128.load(changes + <usize>j * bytes);
      a = madd(left, between, a);
      c = madd(left, reads, c);
      if (!wide) continue;
      const right = v128.load(changes + <usize>j * bytes, 16);
      b = madd(right, between, b);
      d = madd(right, reads, d);
    }
    const own = v128.load32_splat(weights + READS + (<usize>i << 2));
    const left = f32x4.sub(v128.load(u), a);
    v128.store(u, left);
    v128.store(o, f32x4.add(v128.load(o), madd(left, own, c)));
    if (!wide) continue;
    const right = f32x4.sub(v128.load(u, 16), b);
    v128.store(u, right, 16);
    v128.store(o, f32x4.add(v128.load(o, 16), madd(right, own, d)), 16);
  }
  // The state behind the chunk, four channels of keys at a time.
  const decay = v128.load32_splat(scratch + SUMS + (<usize>(n - 1) << 2));
  for (let k = 0; k < keyDim; k += 4) {
    const s = from + at + <usize>k * bytes, t = to + at + <usize>k * bytes;
    let a = f32x4.mul(v128.load(s), decay), b = wide ? f32x4.mul(v128.load(s, 16), decay) : zero;
    let c = f32x4.mul(v128.load(s + bytes), decay), d = wide ? f32x4.mul(v128.load(s + bytes, 16), decay) : zero;
    let e = f32x4.mul(v128.load(s + 2 * bytes), decay), f = wide ? f32x4.mul(v128.load(s + 2 * bytes, 16), decay) : zero;
    let g = f32x4.mul(v128.load(s + 3 * bytes), decay), h = wide ? f32x4.mul(v128.load(s + 3 * bytes, 16), decay) : zero;
    let kept = scratch + KEPT + (<usize>k << 2), u = changes;
    for (let j = 0; j < n; j++) {
      const left = v128.load(u), right = wide ? v128.load(u, 16) : zero;
      let x = v128.load32_splat(kept);
      a = madd(left, x, a);
      if (wide) b = madd(right, x, b);
      x = v128.load32_splat(kept, 4);
      c = madd(left, x, c);
      if (wide) d = madd(right, x, d);
      x = v128.load32_splat(kept, 8);
      e = madd(left, x, e);
      if (wide) f = madd(right, x, f);
      x = v128.load32_splat(kept, 12);
      g = madd(left, x, g);
      if (wide) h = madd(right, x, h);
      kept += keyBytes;
      u += bytes;
    }
    v128.store(t, a);
    v128.store(t + bytes, c);
    v128.store(t + 2 * bytes, e);
    v128.store(t + 3 * bytes, g);
    if (!wide) continue;
    v128.store(t, b, 16);
    v128.store(t + bytes, d, 16);
    v128.store(t + 2 * bytes, f, 16);
    v128.store(t + 3 * bytes, h, 16);
  }
}

function chunk(p: usize, first: usize, n: i32, head: i32, from: usize, to: usize, scratch: usize): void {
  const bytes = <usize>load<u32>(p, VALUE_DIM) << 2;
  prepareChunk(p, first, n, head, scratch);
  let at: usize = 0;
  for (; at + 32 <= bytes; at += 32) chunkColumns(true, p, first, n, head, from, to, at, scratch);
  for (; at < bytes; at += 16) chunkColumns(false, p, first, n, head, from, to, at, scratch);
}

/** Rows [begin, end) of a span. from: the head's state before them, 0 for zeros · to: where it is left */
function rowsOf(p: usize, span: usize, begin: i32, end: i32, head: i32, from: usize, to: usize, scratch: usize): void {
  const row = <usize>load<u32>(span, SPAN_ROW), start = load<i32>(span, SPAN_START);
  const byChannel = load<u32>(p, BY_CHANNEL) != 0;
  if (!from) {
    memory.fill(to, 0, <usize>load<u32>(p, KEY_DIM) * <usize>load<u32>(p, VALUE_DIM) * 4);
    from = to;
  }
  for (let n = begin; n < end; ) {
    // Chunks end at multiples of positions, wherever a step begins.
    const count = min(end - n, ROWS_MOST - ((start + n) & (ROWS_MOST - 1)));
    if (byChannel || count < ROWS_LEAST) {
      for (let i = 0; i < count; i++) {
        stepRow(p, row + <usize>(n + i), head, from, to, scratch);
        from = to;
      }
    } else chunk(p, row + <usize>n, count, head, from, to, scratch);
    from = to;
    n += count;
  }
}

export function deltaRule(task: i32, p: usize, scratch: usize): void {
  if (END > SCRATCH_BYTES) ERROR("the delta rule needs more scratch than SCRATCH_BYTES of src/backends/parameters/attention.ts");
  const numHeads = load<i32>(p, NUM_HEADS), head = task % numHeads;
  const span = <usize>load<u32>(p, SPANS) + <usize>(task / numHeads) * SPAN_BYTES;
  const at = <usize>head * <usize>load<u32>(p, KEY_DIM) * <usize>load<u32>(p, VALUE_DIM) * 4;
  const before = <usize>load<u32>(span, SPAN_BEFORE);
  const firstEnd = load<i32>(span, SPAN_FIRST_END), secondEnd = load<i32>(span, SPAN_SECOND_END);
  const first = <usize>load<u32>(span, SPAN_FIRST) + at;
  rowsOf(p, span, 0, firstEnd, head, before ? before + at : 0, first, scratch);
  if (secondEnd) rowsOf(p, span, firstEnd, secondEnd, head, first, <usize>load<u32>(span, SPAN_SECOND) + at, scratch);
}
