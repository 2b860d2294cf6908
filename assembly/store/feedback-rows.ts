/**
 * @file Error feedback of up to four rows at once, one row in each lane. The two sides of a head are rounded alternately, as in
 * feedback.ts.
 *
 * The coordinates of one row cannot be rounded at the same time, but those of different rows can: the chain of operations from
 * a target to its error is long, and four rows share it. A target is summed up just before it is rounded, from the errors
 * before it and in their order, so that sums stay in registers. Targets are summed up four at a time, which share the loads.
 */
import { RULE_LEAST_SQUARES, RULE_NORM } from "../generated/kv-numbers";
import { zipHigh32, zipLow32 } from "../simd/vector";
import { MAX_DIM, MAX_FLOAT16 } from "../generated/limits";
import { S_COLUMNS, S_HALF, S_RULE, S_TABLE, S_VECTORS } from "./feedback";
import { Q_LAST_BIN, Q_RATE } from "../generated/append-params";
import { binBase, CODES_BYTES, INPUT_BYTES, QUANTIZE_BYTES, roundFour, S_CODES, S_FACTOR, S_INPUT, S_INVERSE, S_NORM, S_SCALE } from "./quantize";

// These vectors take the place of those of feedback.ts. They are f32x4 with one row in each lane.
const S_PAST: usize = S_VECTORS; // [MAX_DIM][2] error and u
const S_PRODUCT: usize = S_PAST + MAX_DIM * 32; // [MAX_DIM] Uᵀu
const S_AHEAD: usize = S_PRODUCT + MAX_DIM * 16; // [MAX_DIM] the chosen centroid times the inverse factor, minus the target
const S_TARGET: usize = S_AHEAD + MAX_DIM * 16; // [4] targets of the four coordinates at hand
const S_BYTES: usize = S_TARGET + 64; // u8 [MAX_DIM][4] codes

/** t − error · factor, rounded after each operation. */
// @ts-ignore: decorator
@inline function less(t: v128, error: v128, factor: v128): v128 {
  return f32x4.sub(t, f32x4.mul(error, factor));
}

/** p + input · factor, rounded after each operation. */
// @ts-ignore: decorator
@inline function plus(p: v128, input: v128, factor: v128): v128 {
  return f32x4.add(p, f32x4.mul(input, factor));
}

/**
 * The second half of the quantization of n rows, after `searchFactor` for each of them and `expectFeedback`. Writes codes to
 * S_CODES and scales to S_SCALE.
 * n: 1–4 · a, b: scratch memory of the two sides, equal if only one side has error feedback · d: headDim, a multiple of 8
 */
export function feedBackRows(n: usize, a: usize, b: usize, d: usize): void {
  if (S_BYTES + MAX_DIM * 4 > QUANTIZE_BYTES) ERROR("error feedback needs more scratch than a side's quantization has");
  begin(n, a, d);
  if (a == b) roundInTurn(a, b, false, d);
  else {
    begin(n, b, d);
    roundInTurn(a, b, true, d);
    finish(b, d);
  }
  finish(a, d);
}

/** Transposes the rows of u to [coordinate][row]. Lanes without a row repeat row 0, because all lanes are looked up. */
function begin(n: usize, s: usize, d: usize): void {
  for (let r = n; r < 4; r++) {
    store<f32>(s + r * 4, load<f32>(s, S_FACTOR), S_FACTOR);
    store<f32>(s + r * 4, load<f32>(s, S_INVERSE), S_INVERSE);
    store<f32>(s + r * 4, load<f32>(s, S_NORM), S_NORM);
  }
  const x0 = s + S_INPUT, x1 = x0 + (n > 1 ? INPUT_BYTES : 0), x2 = x0 + (n > 2 ? 2 * INPUT_BYTES : 0), x3 = x0 + (n > 3 ? 3 * INPUT_BYTES : 0);
  let to = s + S_PAST;
  for (let i: usize = 0; i < d * 4; i += 16) {
    const r0 = v128.load(x0 + i), r1 = v128.load(x1 + i), r2 = v128.load(x2 + i), r3 = v128.load(x3 + i);
    const low01 = zipLow32(r0, r1), low23 = zipLow32(r2, r3), high01 = zipHigh32(r0, r1), high23 = zipHigh32(r2, r3);
    v128.store(to, v128.shuffle<u64>(low01, low23, 0, 2), 16);
    v128.store(to, v128.shuffle<u64>(low01, low23, 1, 3), 48);
    v128.store(to, v128.shuffle<u64>(high01, high23, 0, 2), 80);
    v128.store(to, v128.shuffle<u64>(high01, high23, 1, 3), 112);
    to += 128;
  }
}

/**
 * Rounds all coordinates of side a, and of side b if `both`. Within four coordinates each error is subtracted from the targets
 * after it at once; those of earlier coordinates are already in the targets.
 */
// @ts-ignore: decorator
@inline function roundInTurn(a: usize, b: usize, both: bool, d: usize): void {
  const row = d * 4;
  let f = <usize>load<u32>(a, S_COLUMNS), g = <usize>load<u32>(b, S_COLUMNS);
  for (let i: usize = 0; i < d; i += 4) {
    sumUp(a, i, row);
    if (both) sumUp(b, i, row);
    let t0 = v128.load(a, S_TARGET), t1 = v128.load(a, S_TARGET + 16), t2 = v128.load(a, S_TARGET + 32), t3 = v128.load(a, S_TARGET + 48);
    let u0 = v128.load(b, S_TARGET), u1 = v128.load(b, S_TARGET + 16), u2 = v128.load(b, S_TARGET + 32), u3 = v128.load(b, S_TARGET + 48);
    let e = settle(a, i, t0), h = both ? settle(b, i, u0) : u0;
    t1 = less(t1, e, v128.load_splat<u32>(f, 4));
    t2 = less(t2, e, v128.load_splat<u32>(f, 8));
    t3 = less(t3, e, v128.load_splat<u32>(f, 12));
    if (both) {
      u1 = less(u1, h, v128.load_splat<u32>(g, 4));
      u2 = less(u2, h, v128.load_splat<u32>(g, 8));
      u3 = less(u3, h, v128.load_splat<u32>(g, 12));
    }
    e = settle(a, i + 1, t1);
    if (both) h = settle(b, i + 1, u1);
    t2 = less(t2, e, v128.load_splat<u32>(f + row, 8));
    t3 = less(t3, e, v128.load_splat<u32>(f + row, 12));
    if (both) {
      u2 = less(u2, h, v128.load_splat<u32>(g + row, 8));
      u3 = less(u3, h, v128.load_splat<u32>(g + row, 12));
    }
    e = settle(a, i + 2, t2);
    if (both) h = settle(b, i + 2, u2);
    t3 = less(t3, e, v128.load_splat<u32>(f + 2 * row, 12));
    settle(a, i + 3, t3);
    if (both) settle(b, i + 3, less(u3, h, v128.load_splat<u32>(g + 2 * row, 12)));
    f += 4 * row + 16;
    g += 4 * row + 16;
  }
}

/**
 * Computes the targets of coordinates i to i + 3 with the feedback of all coordinates before i, and their whole products Uᵀu.
 * row: bytes of a row of the feedback matrix
 */
function sumUp(s: usize, i: usize, row: usize): void {
  const own = s + S_PAST + i * 32;
  let t0 = v128.load(own, 16), t1 = v128.load(own, 48), t2 = v128.load(own, 80), t3 = v128.load(own, 112);
  let p0 = t0, p1 = t1, p2 = t2, p3 = t3;
  let f = <usize>load<u32>(s, S_COLUMNS) + i * 4;
  for (let j = s + S_PAST; j < own; j += 32) {
    const error = v128.load(j), input = v128.load(j, 16);
    let factor = v128.load_splat<u32>(f);
    t0 = less(t0, error, factor);
    p0 = plus(p0, input, factor);
    factor = v128.load_splat<u32>(f, 4);
    t1 = less(t1, error, factor);
    p1 = plus(p1, input, factor);
    factor = v128.load_splat<u32>(f, 8);
    t2 = less(t2, error, factor);
    p2 = plus(p2, input, factor);
    factor = v128.load_splat<u32>(f, 12);
    t3 = less(t3, error, factor);
    p3 = plus(p3, input, factor);
    f += row;
  }
  v128.store(s, t0, S_TARGET);
  v128.store(s, t1, S_TARGET + 16);
  v128.store(s, t2, S_TARGET + 32);
  v128.store(s, t3, S_TARGET + 48);
  // Products do not depend on errors, so those of all four coordinates are computed at once.
  const u0 = v128.load(own, 16), u1 = v128.load(own, 48), u2 = v128.load(own, 80);
  const to = s + i * 16;
  v128.store(to, p0, S_PRODUCT);
  v128.store(to, plus(p1, u0, v128.load_splat<u32>(f, 4)), S_PRODUCT + 16);
  v128.store(to, plus(plus(p2, u0, v128.load_splat<u32>(f, 8)), u1, v128.load_splat<u32>(f + row, 8)), S_PRODUCT + 32);
  p3 = plus(plus(p3, u0, v128.load_splat<u32>(f, 12)), u1, v128.load_splat<u32>(f + row, 12));
  v128.store(to, plus(p3, u2, v128.load_splat<u32>(f + 2 * row, 12)), S_PRODUCT + 48);
}

/** Rounds coordinate i of the four rows to the centroid nearest to its target t. returns: the errors, f32x4 */
// @ts-ignore: decorator
@inline function settle(s: usize, i: usize, t: v128): v128 {
  const table = <usize>load<u32>(s, S_TABLE);
  const rate = v128.load_splat<u32>(table, Q_RATE), last = v128.load_splat<u32>(table, Q_LAST_BIN);
  const x = f32x4.mul(t, v128.load(s, S_FACTOR));
  const negative = v128.not(f32x4.gt(x, f32x4.splat(0)));
  const magnitude = i32x4.sub(f32x4.abs(x), negative);
  const c = roundFour(magnitude, negative, rate, last, binBase(table), v128.load_splat<u32>(s, S_HALF), s + S_BYTES + i * 4);
  const value = f32x4.mul(c, v128.load(s, S_INVERSE));
  const past = s + S_PAST + i * 32;
  const error = f32x4.sub(value, v128.load(past, 16));
  v128.store(past, error);
  v128.store(s + i * 16, f32x4.sub(value, t), S_AHEAD);
  return error;
}

/** Transposes the codes to rows in S_CODES, and computes the scales. */
function finish(s: usize, d: usize): void {
  const codes = s + S_CODES;
  for (let i: usize = 0; i < d; i += 4) {
    const rows = v128.load(s + i * 4, S_BYTES);
    const own = i8x16.shuffle(rows, rows, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    v128.store32_lane(codes + i, own, 0);
    v128.store32_lane(codes + i, own, 1, CODES_BYTES);
    v128.store32_lane(codes + i, own, 2, 2 * CODES_BYTES);
    v128.store32_lane(codes + i, own, 3, 3 * CODES_BYTES);
  }
  storeScales(s, d);
}

/**
 * Computes the scales of the four rows in the metric of the feedback, see `#metricScale` in src/quant/vector-quantizer.ts. Sums
 * are in the order of `dot4`, one row in each lane.
 */
function storeScales(s: usize, d: usize): void {
  const rule = load<u32>(s, S_RULE), norm = v128.load(s, S_NORM);
  let scale = norm;
  if (rule != RULE_NORM) {
    const scaled = f32x4.mul(norm, v128.load(s, S_INVERSE));
    const weights = <usize>load<u32>(s, S_COLUMNS) + d * d * 4;
    const product = s + S_PRODUCT, reached = s + S_AHEAD;
    for (let i: usize = 0; i < d * 16; i += 16) v128.store(reached + i, f32x4.add(v128.load(reached + i), v128.load(product + i)));
    const square = weightedDot(weights, reached, reached, d);
    if (rule == RULE_LEAST_SQUARES) scale = f32x4.div(f32x4.mul(scaled, weightedDot(weights, reached, product, d)), square);
    else scale = f32x4.mul(scaled, f32x4.sqrt(f32x4.div(weightedDot(weights, product, product, d), square)));
  }
  v128.store(s, f32x4.max(f32x4.splat(-MAX_FLOAT16), f32x4.min(f32x4.splat(MAX_FLOAT16), scale)), S_SCALE);
}

/** dot4(weights · a, b) of four rows. weights: f32 [d] · a, b: f32x4 [d] · returns: f32x4 */
function weightedDot(weights: usize, a: usize, b: usize, d: usize): v128 {
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  for (let i: usize = 0; i < d * 16; i += 64) {
    s0 = plus(s0, f32x4.mul(v128.load_splat<u32>(weights), v128.load(a + i)), v128.load(b + i));
    s1 = plus(s1, f32x4.mul(v128.load_splat<u32>(weights, 4), v128.load(a + i, 16)), v128.load(b + i, 16));
    s2 = plus(s2, f32x4.mul(v128.load_splat<u32>(weights, 8), v128.load(a + i, 32)), v128.load(b + i, 32));
    s3 = plus(s3, f32x4.mul(v128.load_splat<u32>(weights, 12), v128.load(a + i, 48)), v128.load(b + i, 48));
    weights += 16;
  }
  return f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3));
}
