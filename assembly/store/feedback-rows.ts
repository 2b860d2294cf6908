/**
 * @file Error feedback of up to four rows at once, a row in each lane.
 *
 * Coordinates cannot be rounded at once, but those of different rows can: the way from a target to its error is long, and
 * four rows go it together. A coordinate's target is summed up just before it is rounded, out of the errors before it and in
 * their order, so that sums stay in registers; four coordinates share what is loaded.
 */
import { zipHigh32, zipLow32 } from "../simd/vector";
import { Q_LAST_BIN, Q_RATE, QUANTIZER, RULE } from "./params";
import { binBase, CODES_BYTES, INPUT_BYTES, MAX_SCALE, roundFour, S_CODES, S_FACTOR, S_FEEDBACK, S_INPUT, S_INVERSE, S_NORM, S_SCALE } from "./quantize";

// Scratch, a vector of four rows for each coordinate.
const S_PAST: usize = S_FEEDBACK; // [256][2] error, u
const S_PRODUCT: usize = S_PAST + 8192; // [256] Uᵀu
const S_REACHED: usize = S_PRODUCT + 4096; // [256] Uᵀc/α
const S_BYTES: usize = S_REACHED + 4096; // u8 [256][4] codes

// @ts-ignore: decorator
@inline function less(t: v128, error: v128, factor: v128): v128 {
  return f32x4.sub(t, f32x4.mul(error, factor));
}

// @ts-ignore: decorator
@inline function plus(p: v128, input: v128, factor: v128): v128 {
  return f32x4.add(p, f32x4.mul(input, factor));
}

/** Turns rows' u at i into [coordinate][row], beside the errors to come. Lanes without a row repeat the first. */
function gatherInputs(n: usize, d: usize, s: usize): void {
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

/** The other half of `n` quantizations after `searchFactor`: as `feedBack` does for each row. */
export function feedBackRows(n: usize, d: usize, bits: i32, side: usize, columns: usize, s: usize): void {
  for (let r = n; r < 4; r++) {
    store<f32>(s + r * 4, load<f32>(s, S_FACTOR), S_FACTOR);
    store<f32>(s + r * 4, load<f32>(s, S_INVERSE), S_INVERSE);
    store<f32>(s + r * 4, load<f32>(s, S_NORM), S_NORM);
  }
  gatherInputs(n, d, s);
  roundInTurn(d, bits, side, columns, s);
  for (let r: usize = 0; r < n; r++) gatherCodes(s + S_BYTES + r, d, s + S_CODES + r * CODES_BYTES);
  storeScales(d, load<u32>(side, RULE), columns + d * d * 4, s);
}

function roundInTurn(d: usize, bits: i32, side: usize, columns: usize, s: usize): void {
  const table = <usize>load<u32>(side, QUANTIZER);
  const row = d * 4;
  const past = s + S_PAST;
  for (let i: usize = 0; i < d; i += 4) {
    const own = past + i * 32;
    let t0 = v128.load(own, 16), t1 = v128.load(own, 48), t2 = v128.load(own, 80), t3 = v128.load(own, 112);
    let p0 = t0, p1 = t1, p2 = t2, p3 = t3;
    let f = columns + i * 4;
    for (let j = past; j < own; j += 32) {
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
    const e0 = settle(s, table, bits, i, t0, p0);
    const u0 = v128.load(own, 16);
    const f01 = v128.load_splat<u32>(f, 4), f02 = v128.load_splat<u32>(f, 8), f03 = v128.load_splat<u32>(f, 12);
    t1 = less(t1, e0, f01);
    p1 = plus(p1, u0, f01);
    t2 = less(t2, e0, f02);
    p2 = plus(p2, u0, f02);
    t3 = less(t3, e0, f03);
    p3 = plus(p3, u0, f03);
    f += row;
    const e1 = settle(s, table, bits, i + 1, t1, p1);
    const u1 = v128.load(own, 48);
    const f12 = v128.load_splat<u32>(f, 8), f13 = v128.load_splat<u32>(f, 12);
    t2 = less(t2, e1, f12);
    p2 = plus(p2, u1, f12);
    t3 = less(t3, e1, f13);
    p3 = plus(p3, u1, f13);
    f += row;
    const e2 = settle(s, table, bits, i + 2, t2, p2);
    const f23 = v128.load_splat<u32>(f, 12);
    t3 = less(t3, e2, f23);
    p3 = plus(p3, v128.load(own, 80), f23);
    settle(s, table, bits, i + 3, t3, p3);
  }
}

/** Rounds coordinate i towards its target t; p is its product. returns: the errors */
// @ts-ignore: decorator
@inline function settle(s: usize, table: usize, bits: i32, i: usize, t: v128, p: v128): v128 {
  const rate = v128.load_splat<u32>(table, Q_RATE), last = v128.load_splat<u32>(table, Q_LAST_BIN);
  const x = f32x4.mul(t, v128.load(s, S_FACTOR));
  const negative = v128.not(f32x4.gt(x, f32x4.splat(0)));
  const magnitude = i32x4.sub(f32x4.abs(x), negative);
  const c = roundFour(magnitude, negative, rate, last, binBase(table), i32x4.splat(1 << (bits - 1)), s + S_BYTES + i * 4);
  const reached = f32x4.mul(c, v128.load(s, S_INVERSE));
  const own = s + S_PAST + i * 32;
  const error = f32x4.sub(reached, v128.load(own, 16));
  v128.store(own, error);
  v128.store(s + i * 16, p, S_PRODUCT);
  v128.store(s + i * 16, f32x4.add(f32x4.sub(reached, t), p), S_REACHED);
  return error;
}

/** Every fourth byte from `from` on. */
function gatherCodes(from: usize, d: usize, to: usize): void {
  for (let i: usize = 0; i < d; i++) store<u8>(to + i, load<u8>(from + i * 4));
}

/** Scales in the metric of the feedback: see src/quant/vector-quantizer.ts. Sums are those of dot4, a row in each lane. */
function storeScales(d: usize, rule: u32, weights: usize, s: usize): void {
  const norm = v128.load(s, S_NORM);
  let scale = norm;
  if (rule != 0) {
    const scaled = f32x4.mul(norm, v128.load(s, S_INVERSE));
    const product = s + S_PRODUCT, reached = s + S_REACHED;
    const square = weightedDot(weights, reached, reached, d);
    if (rule == 2) scale = f32x4.div(f32x4.mul(scaled, weightedDot(weights, reached, product, d)), square);
    else scale = f32x4.mul(scaled, f32x4.sqrt(f32x4.div(weightedDot(weights, product, product, d), square)));
  }
  v128.store(s, f32x4.max(f32x4.splat(-MAX_SCALE), f32x4.min(f32x4.splat(MAX_SCALE), scale)), S_SCALE);
}

/** dot4(weights · a, b) */
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
