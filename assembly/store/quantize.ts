/**
 * @file One vector to codes and scale, to the byte what src/quant/vector-quantizer.ts gives.
 *
 * The codebook is symmetric, so codes are found on |t|: with j = number of positive boundaries below |t|, the code is
 * m + j for t > 0 and m − 1 − j otherwise. A negative t on a boundary belongs to the outer cell ("boundaries below t"
 * counts strictly), which adding one unit to the bits of |t| brings about.
 */
import { dot4 } from "./rotate";
import { Q_BINS, Q_BOUNDARIES, Q_CENTROIDS, Q_FACTORS, RULE, SEARCH } from "./params";

const MAX_SCALE: f32 = 65504;
/** Bins a unit of |t|. */
const BINS: f32 = 64;

// Scratch of a quantization, in f32 [256] each but for the codes.
const S_ABS: usize = 0; // |u|
const S_NEGATIVE: usize = 1024; // i32 −1 where the code is in the negative half
const S_CHOSEN: usize = 2048; // centroid magnitudes of a candidate
const S_SPLAT: usize = 3072; // boundaries and centroids, each four times
export const S_CODES: usize = 4096 + 512; // u8 [256]
export const S_SIGNED: usize = 8192; // signed centroids, for the sketch
export const S_INPUT: usize = 8192 + 1024; // u
export const S_BYTES: usize = 12288;

/** Centroid magnitudes of |u|·factor into S_CHOSEN, few levels: a chain of selects. */
// @ts-ignore: decorator
@inline function chooseByChain(table: usize, s: usize, d: usize, factor: f32, half: usize): void {
  const f = f32x4.splat(factor);
  for (let i: usize = 0; i < d * 4; i += 16) {
    const t = i32x4.sub(f32x4.mul(v128.load(s + S_ABS + i), f), v128.load(s + S_NEGATIVE + i));
    let c = v128.load(s + S_SPLAT);
    for (let k: usize = 0; k + 1 < half; k++) {
      const at = s + S_SPLAT + 32 * k;
      c = v128.bitselect(v128.load(at, 32), c, f32x4.gt(t, v128.load(at, 16)));
    }
    v128.store(s + S_CHOSEN + i, c);
  }
}

/** Positive boundaries below t (bits of |t|, raised by one for the negative half). */
// @ts-ignore: decorator
@inline function countBelow(table: usize, t: f32): usize {
  let j = <usize>load<u8>(table + Q_BINS + <usize>min<i32>(<i32>(t * BINS), 511));
  while (load<f32>(table + Q_BOUNDARIES + j * 4) < t) j++;
  return j;
}

// @ts-ignore: decorator
@inline function magnitude(s: usize, i: usize, factor: f32): f32 {
  const bits = reinterpret<i32>(load<f32>(s + S_ABS + i * 4) * factor) - load<i32>(s + S_NEGATIVE + i * 4);
  return reinterpret<f32>(bits);
}

// @ts-ignore: decorator
@inline function chooseByBins(table: usize, s: usize, d: usize, factor: f32): void {
  for (let i: usize = 0; i < d; i++) {
    const j = countBelow(table, magnitude(s, i, factor));
    store<f32>(s + S_CHOSEN + i * 4, load<f32>(table + Q_CENTROIDS + j * 4));
  }
}

/**
 * y: [d] rotated · side: a side of the append parameters · s: scratch of S_BYTES
 * Codes go to s + S_CODES, u to s + S_INPUT. returns: the scale; the norm is stored at s + S_BYTES − 4
 */
export function quantize(y: usize, d: usize, bits: i32, side: usize, table: usize, s: usize): f32 {
  const norm = sqrt<f32>(dot4(y, y, d));
  const root = <f32>Math.sqrt(<f64>d);
  const factor: f32 = norm > 0 ? root / norm : 0;
  store<f32>(s + S_BYTES - 4, norm);
  const half = <usize>1 << (bits - 1);
  const f = f32x4.splat(factor), zero = f32x4.splat(0);
  for (let i: usize = 0; i < d * 4; i += 16) {
    const u = f32x4.mul(v128.load(y + i), f);
    v128.store(s + S_INPUT + i, u);
    v128.store(s + S_ABS + i, f32x4.abs(u));
    v128.store(s + S_NEGATIVE + i, v128.not(f32x4.gt(u, zero)));
  }
  const chain = half <= 16;
  if (chain) {
    for (let k: usize = 0; k < half; k++) {
      v128.store(s + S_SPLAT + 32 * k, v128.load_splat<u32>(table + Q_CENTROIDS + 4 * k));
      v128.store(s + S_SPLAT + 32 * k, v128.load_splat<u32>(table + Q_BOUNDARIES + 4 * k), 16);
    }
  }
  const candidates: usize = load<u32>(side, SEARCH) ? 9 : 1;
  let best: f32 = 1, bestCosine: f32 = -1e30, bestSquare: f32 = 0, bestProduct: f32 = 0;
  for (let a: usize = 0; a < candidates; a++) {
    const alpha: f32 = candidates == 1 ? 1 : load<f32>(table + Q_FACTORS + a * 4);
    if (chain) chooseByChain(table, s, d, alpha, half);
    else chooseByBins(table, s, d, alpha);
    // Signs of u and of its centroid agree, so products of magnitudes are the products.
    const square = dot4(s + S_CHOSEN, s + S_CHOSEN, d);
    const product = dot4(s + S_ABS, s + S_CHOSEN, d);
    const cosine = product / sqrt<f32>(square);
    if (cosine > bestCosine) {
      best = alpha;
      bestCosine = cosine;
      bestSquare = square;
      bestProduct = product;
    }
  }
  for (let i: usize = 0; i < d; i++) {
    const j = countBelow(table, magnitude(s, i, best));
    const negative = load<i32>(s + S_NEGATIVE + i * 4) != 0;
    const c = load<f32>(table + Q_CENTROIDS + j * 4);
    store<u8>(s + S_CODES + i, <u8>(negative ? half - 1 - j : half + j));
    store<f32>(s + S_SIGNED + i * 4, negative ? -c : c);
  }
  const rule = load<u32>(side, RULE);
  let scale = norm;
  if (rule == 1) scale = (norm * root) / sqrt<f32>(bestSquare);
  else if (rule == 2) scale = (norm * bestProduct) / bestSquare;
  return min<f32>(MAX_SCALE, scale);
}
