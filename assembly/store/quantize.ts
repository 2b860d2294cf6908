/**
 * @file One vector to codes and scale, to the byte what src/quant/vector-quantizer.ts gives.
 *
 * The codebook is symmetric, so codes are found on |t|: with j = number of positive boundaries below |t|, the code is
 * half + j for t > 0 and half − 1 − j otherwise. A negative t on a boundary belongs to the outer cell ("boundaries below
 * t" counts strictly), which adding one unit to the bits of |t| brings about.
 *
 * j comes from a table over rounded |t|·rate, in which no bin holds more than one boundary: one comparison settles it
 * exactly (src/backends/wasm/quantizer-table.ts). So every width costs the same, and nothing branches on data.
 */
import { zipHigh32, zipLow32 } from "../simd/vector";
import { Q_BINS, Q_FACTORS, Q_INVERSES, Q_LAST_BIN, Q_RATE, RULE, SEARCH } from "./params";
import { dot4 } from "./rotate";

const MAX_SCALE: f32 = 65504;
/** 1.5 · 2²³ and its bits: adding it rounds to an integer, which then sits in the low bits. */
const ROUND: f32 = 12582912;
const ROUND_BITS: i32 = 0x4b400000;

// Scratch of a quantization.
const S_ABS: usize = 0; // f32 [256 + 16] |u|, then the targets of error feedback
const S_NEGATIVE: usize = 1088; // i32 [256 + 16] −1 where the code is in the negative half
export const S_CODES: usize = 2176; // u8 [256 + 16]
export const S_SIGNED: usize = 2560; // f32 [256 + 16] signed centroids, for the sketch
export const S_INPUT: usize = 3648; // f32 [256 + 16] u
export const S_NORM: usize = 4736; // f32 norm of the input
const S_PRODUCT: usize = 4752; // f32 [256 + 16] Uᵀu of error feedback
const S_WEIGHTED: usize = 5840; // f32 [256 + 16]

/** Magnitudes of a candidate at i: bits of |u·factor|, raised by one in the negative half. */
// @ts-ignore: decorator
@inline function magnitudes(s: usize, i: usize, factor: v128): v128 {
  return i32x4.sub(f32x4.mul(v128.load(s + S_ABS + i), factor), v128.load(s + S_NEGATIVE + i));
}

/** Addresses of the bins of four magnitudes; `base` is the address of bin 0 less the rounding bits. */
// @ts-ignore: decorator
@inline function binAddresses(t: v128, rate: v128, last: v128, base: v128): v128 {
  const rounded = f32x4.add(f32x4.pmin(last, f32x4.mul(t, rate)), f32x4.splat(ROUND));
  return i32x4.add(i32x4.shl(rounded, 4), base);
}

/**
 * y: [d] rotated · side: a side of the append parameters · s: scratch of the quantizer, 16-byte aligned ·
 * feedback: columns of the head's factor and its weights, or 0
 * Codes go to s + S_CODES, u to s + S_INPUT, signed centroids to s + S_SIGNED, the norm to s + S_NORM. returns: the scale
 */
export function quantize(y: usize, d: usize, bits: i32, side: usize, table: usize, feedback: usize, s: usize): f32 {
  const norm = sqrt<f32>(dot4(y, y, d));
  const root = <f32>Math.sqrt(<f64>d);
  const f = f32x4.splat(norm > 0 ? root / norm : 0), zero = f32x4.splat(0);
  store<f32>(s, norm, S_NORM);
  for (let i: usize = 0; i < d * 4; i += 16) {
    const u = f32x4.mul(v128.load(y + i), f);
    v128.store(s + i, u, S_INPUT);
    v128.store(s + i, f32x4.abs(u), S_ABS);
    v128.store(s + i, v128.not(f32x4.gt(u, zero)), S_NEGATIVE);
  }

  const rate = v128.load_splat<u32>(table, Q_RATE), last = v128.load_splat<u32>(table, Q_LAST_BIN);
  const base = i32x4.splat(<i32>(table + Q_BINS) - (ROUND_BITS << 4));
  const candidates: usize = load<u32>(side, SEARCH) ? 9 : 1;
  let best: usize = 0, bestCosine: f32 = -1e30, bestSquare: f32 = 0, bestProduct: f32 = 0;
  for (let a: usize = 0; a < candidates; a++) {
    const alpha: f32 = candidates == 1 ? 1 : load<f32>(table + a * 4, Q_FACTORS);
    const factor = f32x4.splat(alpha);
    let square = zero, product = zero;
    for (let i: usize = 0; i < d * 4; i += 16) {
      const t = magnitudes(s, i, factor);
      const at = binAddresses(t, rate, last, base);
      // Bins are [boundary, centroid below it, centroid above it, j below it].
      const r0 = v128.load(i32x4.extract_lane(at, 0)), r1 = v128.load(i32x4.extract_lane(at, 1));
      const r2 = v128.load(i32x4.extract_lane(at, 2)), r3 = v128.load(i32x4.extract_lane(at, 3));
      const low01 = zipLow32(r0, r1), low23 = zipLow32(r2, r3);
      const boundary = v128.shuffle<u64>(low01, low23, 0, 2), below = v128.shuffle<u64>(low01, low23, 1, 3);
      const above = v128.shuffle<u64>(zipHigh32(r0, r1), zipHigh32(r2, r3), 0, 2);
      // Positive floats compare as integers do, and above > below.
      const c = i32x4.max_s(below, v128.and(above, f32x4.gt(t, boundary)));
      // Signs of u and of its centroid agree, so products of magnitudes are the products.
      square = f32x4.add(square, f32x4.mul(c, c));
      product = f32x4.add(product, f32x4.mul(v128.load(s + i, S_ABS), c));
    }
    const squares = sumLanes(square), products = sumLanes(product);
    const cosine = products / sqrt<f32>(squares);
    if (cosine > bestCosine) {
      best = a;
      bestCosine = cosine;
      bestSquare = squares;
      bestProduct = products;
    }
  }
  const alpha: f32 = candidates == 1 ? 1 : load<f32>(table + best * 4, Q_FACTORS), half = 1 << (bits - 1);
  const rule = load<u32>(side, RULE);
  if (feedback) {
    const inverse: f32 = candidates == 1 ? 1 : load<f32>(table + best * 4, Q_INVERSES);
    feedBack(s, d, alpha, inverse, half, table, feedback);
    const own = rule == 0 ? norm : metricScale(s, d, rule == 2, norm * inverse, inverse, feedback + d * d * 4);
    return max<f32>(-MAX_SCALE, min<f32>(MAX_SCALE, own));
  }
  chooseCodes(s, d, alpha, half, rate, last, base);
  let scale = norm;
  if (rule == 1) scale = (norm * root) / sqrt<f32>(bestSquare);
  else if (rule == 2) scale = (norm * bestProduct) / bestSquare;
  return min<f32>(MAX_SCALE, scale);
}

/**
 * Codes and signed centroids one coordinate after the other; the error of each moves the targets of those after it.
 * A column is zero up to its own coordinate, so whole vectors may be updated from there on.
 */
function feedBack(s: usize, d: usize, alpha: f32, inverse: f32, half: i32, table: usize, columns: usize): void {
  const rate = load<f32>(table, Q_RATE), last = load<f32>(table, Q_LAST_BIN);
  memory.copy(s + S_ABS, s + S_INPUT, d * 4);
  memory.copy(s + S_PRODUCT, s + S_INPUT, d * 4);
  for (let j: usize = 0; j < d; j++) {
    const x = load<f32>(s + j * 4, S_ABS) * alpha;
    const negative = !(x > 0);
    const t = reinterpret<f32>(reinterpret<i32>(abs<f32>(x)) + i32(negative));
    const at = table + Q_BINS + (<usize>(reinterpret<i32>(min<f32>(last, t * rate) + ROUND) - ROUND_BITS) << 4);
    const isAbove = t > load<f32>(at);
    const c = isAbove ? load<f32>(at, 8) : load<f32>(at, 4);
    const signed = negative ? -c : c;
    const index = load<i32>(at, 12) + i32(isAbove);
    store<u8>(s + j, negative ? half - 1 - index : half + index, S_CODES);
    store<f32>(s + j * 4, signed, S_SIGNED);
    const u = load<f32>(s + j * 4, S_INPUT);
    const error = f32x4.splat(signed * inverse - u), input = f32x4.splat(u);
    const column = columns + j * d * 4;
    for (let i = ((j + 1) * 4) & ~15; i < d * 4; i += 16) {
      const factor = v128.load(column + i);
      v128.store(s + i, f32x4.sub(v128.load(s + i, S_ABS), f32x4.mul(error, factor)), S_ABS);
      v128.store(s + i, f32x4.add(v128.load(s + i, S_PRODUCT), f32x4.mul(input, factor)), S_PRODUCT);
    }
  }
}

/** Scale in the metric of the feedback: see src/quant/vector-quantizer.ts. */
function metricScale(s: usize, d: usize, isLeastSquares: bool, scaled: f32, inverse: f32, weights: usize): f32 {
  const f = f32x4.splat(inverse);
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

/** The end of dot4: (s0 + s1) + (s2 + s3). */
// @ts-ignore: decorator
@inline function sumLanes(v: v128): f32 {
  return (f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1)) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

/** Codes and signed centroids at the factor chosen. */
function chooseCodes(s: usize, d: usize, alpha: f32, half: i32, rate: v128, last: v128, base: v128): void {
  const factor = f32x4.splat(alpha), halves = i32x4.splat(half), signBit = i32x4.splat(<i32>0x80000000);
  for (let i: usize = 0; i < d * 4; i += 16) {
    const negative = v128.load(s + i, S_NEGATIVE);
    const t = magnitudes(s, i, factor);
    const at = binAddresses(t, rate, last, base);
    const r0 = v128.load(i32x4.extract_lane(at, 0)), r1 = v128.load(i32x4.extract_lane(at, 1));
    const r2 = v128.load(i32x4.extract_lane(at, 2)), r3 = v128.load(i32x4.extract_lane(at, 3));
    const low01 = zipLow32(r0, r1), low23 = zipLow32(r2, r3), high01 = zipHigh32(r0, r1), high23 = zipHigh32(r2, r3);
    const isAbove = f32x4.gt(t, v128.shuffle<u64>(low01, low23, 0, 2));
    const c = i32x4.max_s(v128.shuffle<u64>(low01, low23, 1, 3), v128.and(v128.shuffle<u64>(high01, high23, 0, 2), isAbove));
    v128.store(s + i, v128.xor(c, v128.and(negative, signBit)), S_SIGNED);
    // half − 1 − j is half + ~j.
    const j = i32x4.sub(v128.shuffle<u64>(high01, high23, 1, 3), isAbove);
    const codes = i32x4.add(v128.xor(j, negative), halves);
    const words = i16x8.narrow_i32x4_u(codes, codes);
    v128.store32_lane(s + S_CODES + (i >> 2), i8x16.narrow_i16x8_u(words, words), 0);
  }
}
