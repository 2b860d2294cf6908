/**
 * @file Chooses the codes of one row in a trellis by Viterbi's algorithm, with byte for byte the result of src/quant/trellis.ts.
 *
 * The state is the code before, so there are four survivors, one in each lane. In each step the costs are four vectors, one for
 * each code, with a lane for each state before. Transposed they have a lane for each code, and four comparisons find the
 * predecessor of each new survivor. With error feedback every survivor has targets of its own, one vector for each coordinate,
 * which are shuffled to follow it.
 */
import { zipHigh32, zipLow32 } from "../simd/vector";
import { expectFeedback, passOn, storeScale, sumUp, S_COLUMNS, S_ERRORS, S_FREE } from "./feedback";
import { dot4 } from "./multiply";
import { FEEDBACK, QUANTIZER, RULE } from "../generated/append-params";
import { TRELLIS_RUN } from "../generated/limits";
import { QUANTIZE_BYTES, S_ABS, S_CODES, S_INPUT, S_PRODUCTS, S_SIGNED, S_SQUARES, storeScaleBy } from "./quantize";

/** Number of coordinates that one call of `sumUp` processes. */
const BLOCK: usize = 16;

// The scratch memory after that of error feedback.
const S_TARGETS: usize = S_FREE; // f32 [TRELLIS_RUN][4 states] targets of each survivor
const S_FROM: usize = S_FREE + TRELLIS_RUN * 16; // u8 [TRELLIS_RUN][4 states] the state that each survivor comes from

/**
 * The second half of the quantization of row 0, after `searchFactor`: chooses the codes, with error feedback if the side has it,
 * and the scale. Writes codes to s + S_CODES and the scale to s + S_SCALE. The side's quantizer table has to hold the
 * values of the trellis, f32 [4 codes][4 states before].
 */
export function chooseChained(side: usize, head: usize, d: usize, s: usize): void {
  if (S_FROM + TRELLIS_RUN * 4 > QUANTIZE_BYTES) ERROR("the trellis needs more scratch than a side's quantization has");
  const values = <usize>load<u32>(side, QUANTIZER);
  const hasFeedback = load<u32>(side, FEEDBACK) != 0;
  if (hasFeedback) expectFeedback(side, head, d, s);
  for (let start: usize = 0; start < d; start += TRELLIS_RUN) {
    const end = min<usize>(start + TRELLIS_RUN, d);
    if (hasFeedback) for (let at = start; at < end; at += BLOCK) sumUp(s, at, start, d);
    walk(s, values, hasFeedback ? S_ABS : S_INPUT, hasFeedback ? load<u32>(s, S_COLUMNS) : 0, start, end, d);
    if (!hasFeedback) continue;
    for (let j = start; j < end; j++) passOn(s, j, end, load<f32>(s + j * 4, S_ERRORS), d);
  }
  if (hasFeedback) {
    storeScale(s, d);
    return;
  }
  store<f32>(s, dot4(s + S_SIGNED, s + S_SIGNED, d), S_SQUARES);
  store<f32>(s, dot4(s + S_INPUT, s + S_SIGNED, d), S_PRODUCTS);
  storeScaleBy(load<u32>(side, RULE), d, s);
}

/** Replaces `other` by `own` in the lanes where the mask is set. */
// @ts-ignore: decorator
@inline function choose(mask: v128, own: v128, other: v128): v128 {
  return v128.bitselect(own, other, mask);
}

/**
 * Finds the cheapest chain of the coordinates from start to end, and writes its codes to S_CODES, its values to S_SIGNED and their
 * errors to S_ERRORS.
 * values: f32 [4 codes][4 states before] · targets: offset in s of f32 [d] · columns: the feedback matrix, f32 [d][d], and its
 * weights, f32 [d]; 0 without error feedback
 */
function walk(s: usize, values: usize, targets: usize, columns: usize, start: usize, end: usize, d: usize): void {
  // v0 to v3 belong to one code each and have a lane for each state before; w0 to w3 are their transpose.
  const v0 = v128.load(values), v1 = v128.load(values, 16), v2 = v128.load(values, 32), v3 = v128.load(values, 48);
  const a = zipLow32(v0, v1), b = zipLow32(v2, v3), c = zipHigh32(v0, v1), e = zipHigh32(v2, v3);
  const w0 = v128.shuffle<u64>(a, b, 0, 2), w1 = v128.shuffle<u64>(a, b, 1, 3), w2 = v128.shuffle<u64>(c, e, 0, 2), w3 = v128.shuffle<u64>(c, e, 1, 3);
  const tracks = s + S_TARGETS, from = s + S_FROM, length = end - start;
  for (let i: usize = 0; i < length; i++) v128.store(tracks + i * 16, v128.load_splat<u32>(s + targets + (start + i) * 4));
  // A chain begins in state 0, so there is one survivor before its first code.
  const most = f32x4.splat(<f32>Infinity);
  let cost = f32x4.replace_lane(most, 0, 0);
  const weights = columns + (d * d + start) * 4;
  let row = columns + (start * d + start) * 4;
  for (let j: usize = 0; j < length; j++) {
    const t = v128.load(tracks + j * 16), weight = columns ? v128.load_splat<u32>(weights + j * 4) : f32x4.splat(1);
    const e0 = f32x4.sub(t, v0), e1 = f32x4.sub(t, v1), e2 = f32x4.sub(t, v2), e3 = f32x4.sub(t, v3);
    const p0 = f32x4.add(cost, f32x4.mul(weight, f32x4.mul(e0, e0))), p1 = f32x4.add(cost, f32x4.mul(weight, f32x4.mul(e1, e1)));
    const p2 = f32x4.add(cost, f32x4.mul(weight, f32x4.mul(e2, e2))), p3 = f32x4.add(cost, f32x4.mul(weight, f32x4.mul(e3, e3)));
    const low01 = zipLow32(p0, p1), low23 = zipLow32(p2, p3), high01 = zipHigh32(p0, p1), high23 = zipHigh32(p2, p3);
    const q0 = v128.shuffle<u64>(low01, low23, 0, 2), q1 = v128.shuffle<u64>(low01, low23, 1, 3);
    const q2 = v128.shuffle<u64>(high01, high23, 0, 2), q3 = v128.shuffle<u64>(high01, high23, 1, 3);
    // Of equal costs the first one wins, and a NaN never does.
    cost = most;
    let mask = f32x4.lt(q0, cost);
    cost = choose(mask, q0, cost);
    let before = i32x4.splat(0), value = w0;
    mask = f32x4.lt(q1, cost);
    cost = choose(mask, q1, cost);
    before = choose(mask, i32x4.splat(1), before);
    value = choose(mask, w1, value);
    mask = f32x4.lt(q2, cost);
    cost = choose(mask, q2, cost);
    before = choose(mask, i32x4.splat(2), before);
    value = choose(mask, w2, value);
    mask = f32x4.lt(q3, cost);
    cost = choose(mask, q3, cost);
    before = choose(mask, i32x4.splat(3), before);
    value = choose(mask, w3, value);
    const words = i16x8.narrow_i32x4_u(before, before);
    v128.store32_lane(from + j * 4, i8x16.narrow_i16x8_u(words, words), 0);
    if (columns) {
      const error = f32x4.sub(value, v128.load_splat<u32>(s + (start + j) * 4, S_INPUT));
      // The byte indices of the lanes that the survivors come from, for the swizzle of their targets.
      const lanes = i32x4.add(i32x4.mul(before, i32x4.splat(0x04040404)), i32x4.splat(0x03020100));
      for (let i = j + 1; i < length; i++) {
        const track = tracks + i * 16;
        v128.store(track, f32x4.sub(i8x16.swizzle(v128.load(track), lanes), f32x4.mul(error, v128.load_splat<u32>(row + i * 4))));
      }
      row += d * 4;
    }
  }
  retrace(s, values, cost, start, length);
}

/** Follows the cheapest chain from its end to its beginning and writes its codes, values and errors. */
function retrace(s: usize, values: usize, cost: v128, start: usize, length: usize): void {
  let state: usize = 0, least = f32x4.extract_lane(cost, 0);
  if (f32x4.extract_lane(cost, 1) < least) { state = 1; least = f32x4.extract_lane(cost, 1); }
  if (f32x4.extract_lane(cost, 2) < least) { state = 2; least = f32x4.extract_lane(cost, 2); }
  if (f32x4.extract_lane(cost, 3) < least) state = 3;
  for (let j = length; j > 0; j--) {
    const i = start + j - 1, before = <usize>load<u8>(s + S_FROM + (j - 1) * 4 + state);
    const value = load<f32>(values + (before + state * 4) * 4);
    store<u8>(s + i, <u8>state, S_CODES);
    store<f32>(s + i * 4, value, S_SIGNED);
    store<f32>(s + i * 4, value - load<f32>(s + i * 4, S_INPUT), S_ERRORS);
    state = before;
  }
}
