/**
 * @file Error feedback of one row: chooses the codes one coordinate after the other, where each rounding error changes the targets
 * of the coordinates after it, and computes the scale in the metric of the feedback.
 *
 * The chain of operations from a target to its error is long, and the next target waits for it. So the two sides of a head are
 * rounded alternately, each with scratch memory of its own: the processor works on one while the other waits.
 */
import { RULE_LEAST_SQUARES, RULE_NORM } from "../generated/kv-numbers";
import { dot4 } from "./multiply";
import { BIN_BELOW, BIN_BOUNDARIES_BELOW, FEEDBACK, Q_BINS, Q_LAST_BIN, Q_RATE, QUANTIZER, RULE, TYPE } from "../generated/append-params";
import { MAX_FLOAT16 } from "../generated/limits";
import { INPUT_BYTES, ROUND, ROUND_BITS, S_ABS, S_CODES, S_FACTOR, S_FEEDBACK, S_INPUT, S_INVERSE, S_NORM, S_SCALE, S_SIGNED } from "./quantize";

// The scratch memory after that of the quantizer: parameters, then vectors.
export const S_TABLE: usize = S_FEEDBACK; // u32 address of the side's quantizer table
export const S_COLUMNS: usize = S_FEEDBACK + 4; // u32 address of the KV head's feedback matrix, f32 [d][d], which d weights follow
export const S_HALF: usize = S_FEEDBACK + 8; // i32 half the number of codes
export const S_RULE: usize = S_FEEDBACK + 12; // u32 the scale rule
export const S_VECTORS: usize = S_FEEDBACK + 64;
const S_PRODUCT: usize = S_VECTORS; // f32 [MAX_DIM + 16] the product Uᵀu
const S_WEIGHTED: usize = S_PRODUCT + INPUT_BYTES; // f32 [MAX_DIM + 16] a vector times the weights
export const S_ERRORS: usize = S_WEIGHTED + INPUT_BYTES; // f32 [MAX_DIM + 16] rounding errors
/** From here on the scratch memory belongs to the trellis. */
export const S_FREE: usize = S_ERRORS + INPUT_BYTES;
/** Within a block of so many coordinates errors are passed on at once; later blocks receive them when they begin. */
const BLOCK: usize = 16;

/** Prepares error feedback for a side of a KV head, whose rows `searchFactor` has put into the scratch memory s. */
export function expectFeedback(side: usize, head: usize, d: usize, s: usize): void {
  store<u32>(s, load<u32>(side, QUANTIZER), S_TABLE);
  store<u32>(s, load<u32>(side, FEEDBACK) + <u32>(head * (d + 1) * d * 4), S_COLUMNS);
  store<i32>(s, 1 << (load<i32>(side, TYPE) - 1), S_HALF);
  store<u32>(s, load<u32>(side, RULE), S_RULE);
}

/**
 * The second half of the quantization of row 0, after `searchFactor` and `expectFeedback`. Writes codes to S_CODES and the scale
 * to S_SCALE. a, b: scratch memory of the two sides, equal if only one side has error feedback · d: headDim, a multiple of 8
 */
export function feedBack(a: usize, b: usize, d: usize): void {
  if (a == b) roundInTurn(a, b, false, d);
  else roundInTurn(a, b, true, d);
  storeScale(a, d);
  if (a != b) storeScale(b, d);
}

// @ts-ignore: decorator
@inline function roundInTurn(a: usize, b: usize, both: bool, d: usize): void {
  for (let start: usize = 0; start < d; start += BLOCK) {
    const end = min<usize>(start + BLOCK, d);
    sumUp(a, start, start, d);
    if (both) sumUp(b, start, start, d);
    for (let j = start; j < end; j++) {
      const e = settle(a, j), f = both ? settle(b, j) : <f32>0;
      passOn(a, j, end, e, d);
      if (both) passOn(b, j, end, f, d);
    }
  }
}

/**
 * Computes the targets (to S_ABS) and products of the 16 coordinates from `start` on with the feedback of all coordinates before
 * `until`, summed in their order and in registers. If fewer coordinates are left, the rest of the sums is not used.
 */
export function sumUp(s: usize, start: usize, until: usize, d: usize): void {
  const own = s + start * 4;
  let t0 = v128.load(own, S_INPUT), t1 = v128.load(own, S_INPUT + 16), t2 = v128.load(own, S_INPUT + 32), t3 = v128.load(own, S_INPUT + 48);
  let p0 = t0, p1 = t1, p2 = t2, p3 = t3;
  let column = <usize>load<u32>(s, S_COLUMNS) + start * 4;
  for (let j = s; j < s + until * 4; j += 4) {
    const error = v128.load_splat<u32>(j, S_ERRORS), input = v128.load_splat<u32>(j, S_INPUT);
    let factor = v128.load(column);
    t0 = f32x4.sub(t0, f32x4.mul(error, factor));
    p0 = f32x4.add(p0, f32x4.mul(input, factor));
    factor = v128.load(column, 16);
    t1 = f32x4.sub(t1, f32x4.mul(error, factor));
    p1 = f32x4.add(p1, f32x4.mul(input, factor));
    factor = v128.load(column, 32);
    t2 = f32x4.sub(t2, f32x4.mul(error, factor));
    p2 = f32x4.add(p2, f32x4.mul(input, factor));
    factor = v128.load(column, 48);
    t3 = f32x4.sub(t3, f32x4.mul(error, factor));
    p3 = f32x4.add(p3, f32x4.mul(input, factor));
    column += d * 4;
  }
  v128.store(own, t0, S_ABS);
  v128.store(own, t1, S_ABS + 16);
  v128.store(own, t2, S_ABS + 32);
  v128.store(own, t3, S_ABS + 48);
  v128.store(own, p0, S_PRODUCT);
  v128.store(own, p1, S_PRODUCT + 16);
  v128.store(own, p2, S_PRODUCT + 32);
  v128.store(own, p3, S_PRODUCT + 48);
}

/**
 * Rounds coordinate j to the centroid nearest to its target. There are no branches, because signs and sides of boundaries cannot
 * be predicted. returns: the error
 */
// @ts-ignore: decorator
@inline function settle(s: usize, j: usize): f32 {
  const table = <usize>load<u32>(s, S_TABLE);
  const x = load<f32>(s + j * 4, S_ABS) * load<f32>(s, S_FACTOR);
  const negative = i32(!(x > 0));
  const t = reinterpret<f32>((reinterpret<i32>(x) & 0x7fffffff) + negative);
  const at = table + Q_BINS + (<usize>(reinterpret<i32>(min<f32>(load<f32>(table, Q_LAST_BIN), t * load<f32>(table, Q_RATE)) + ROUND) - ROUND_BITS) << 4);
  const isAbove = i32(t > load<f32>(at));
  const signed = reinterpret<f32>(load<i32>(at + (isAbove << 2), BIN_BELOW) | (negative << 31));
  // A negative target has the code half − 1 − index, which equals half + ~index.
  store<u8>(s + j, load<i32>(s, S_HALF) + ((load<i32>(at, BIN_BOUNDARIES_BELOW) + isAbove) ^ -negative), S_CODES);
  store<f32>(s + j * 4, signed, S_SIGNED);
  const error = signed * load<f32>(s, S_INVERSE) - load<f32>(s + j * 4, S_INPUT);
  store<f32>(s + j * 4, error, S_ERRORS);
  return error;
}

/**
 * Adds the feedback of coordinate j to the targets and products of those after it, up to `end`. Row j of the feedback matrix is
 * zero up to coordinate j, so whole vectors may be updated. e: the error of coordinate j
 */
// @ts-ignore: decorator
@inline export function passOn(s: usize, j: usize, end: usize, e: f32, d: usize): void {
  const error = f32x4.splat(e), input = v128.load_splat<u32>(s + j * 4, S_INPUT);
  const column = <usize>load<u32>(s, S_COLUMNS) + j * d * 4;
  for (let i = ((j + 1) * 4) & ~15; i < end * 4; i += 16) {
    const factor = v128.load(column + i);
    v128.store(s + i, f32x4.sub(v128.load(s + i, S_ABS), f32x4.mul(error, factor)), S_ABS);
    v128.store(s + i, f32x4.add(v128.load(s + i, S_PRODUCT), f32x4.mul(input, factor)), S_PRODUCT);
  }
}

/** Writes the scale of row 0, in the metric of the feedback, to S_SCALE. It is within the range of f16. */
export function storeScale(s: usize, d: usize): void {
  const norm = load<f32>(s, S_NORM), rule = load<u32>(s, S_RULE);
  const scale = rule == RULE_NORM ? norm : metricScale(s, d, rule == RULE_LEAST_SQUARES, norm * load<f32>(s, S_INVERSE));
  store<f32>(s, max<f32>(-MAX_FLOAT16, min<f32>(MAX_FLOAT16, scale)), S_SCALE);
}

/**
 * The scale by `#metricScale` of src/quant/vector-quantizer.ts, which has the formula. S_ABS still holds the targets. scaled:
 * norm times the inverse factor
 */
function metricScale(s: usize, d: usize, isLeastSquares: bool, scaled: f32): f32 {
  const f = v128.load_splat<u32>(s, S_INVERSE), weights = <usize>load<u32>(s, S_COLUMNS) + d * d * 4;
  const p = s + S_PRODUCT, w = s + S_ABS, weighted = s + S_WEIGHTED;
  for (let i: usize = 0; i < d * 4; i += 16) {
    const own = f32x4.add(f32x4.sub(f32x4.mul(v128.load(s + i, S_SIGNED), f), v128.load(w + i)), v128.load(p + i));
    v128.store(w + i, own);
    v128.store(weighted + i, f32x4.mul(v128.load(weights + i), own));
  }
  const square = dot4(weighted, w, d);
  if (isLeastSquares) return (scaled * dot4(weighted, p, d)) / square;
  for (let i: usize = 0; i < d * 4; i += 16) v128.store(weighted + i, f32x4.mul(v128.load(weights + i), v128.load(p + i)));
  return scaled * sqrt<f32>(dot4(weighted, p, d) / square);
}
