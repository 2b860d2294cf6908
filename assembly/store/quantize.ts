/**
 * @file Rounds vectors to codes and computes their scale, with byte for byte the result of src/quant/vector-quantizer.ts.
 *
 * t is a coordinate of u times the scale factor. The codebook is symmetric, so codes are found from |t|: with j the number of
 * positive boundaries below |t|, the code is half + j for t > 0 and half − 1 − j otherwise. The reference counts the boundaries
 * strictly below t, so a negative t on a boundary belongs to the outer cell; adding one unit to the bits of |t| has this effect.
 *
 * j comes from a table over rounded |t| · rate (src/backends/wasm/quantizer-table.ts). No bin of it holds more than one boundary,
 * so one comparison gives the exact result. All widths take the same time, and no branch depends on the data.
 */
import { RULE_LEAST_SQUARES, RULE_NORM_PRESERVING } from "../generated/kv-numbers";
import { zipHigh32, zipLow32 } from "../simd/vector";
import { MAX_DIM, MAX_FLOAT16 } from "../generated/limits";
import { BIN_BYTES, Q_BINS, Q_LAST_BIN, Q_RATE, QUANTIZER, RULE } from "../generated/append-params";

/** 1.5 · 2²³ and its bits. Adding it rounds to an integer, which is then in the low bits of the sum. */
export const ROUND: f32 = 12582912;
export const ROUND_BITS: i32 = 0x4b400000;

/** Bytes in the scratch memory for a row's codes and for a row of f32, with room for an incomplete last block of 16. */
export const CODES_BYTES: usize = MAX_DIM + 16;
export const INPUT_BYTES: usize = CODES_BYTES * 4;

// The scratch memory for quantizing up to four rows of a side. u is the row divided by its norm, times √headDim, and c the
// centroids of its codes.
export const S_SCALE: usize = 0; // f32 [4] the resulting scales
export const S_NORM: usize = 16; // f32 [4] norms of the rows
export const S_FACTOR: usize = 32; // f32 [4] the factors that the search found
export const S_INVERSE: usize = 48; // f32 [4] their inverses, which error feedback multiplies by
// f32 [12] ‖c‖², ⟨u, c⟩ and ⟨u, c⟩ / ‖c‖ of the row searched last, for each factor. After the search, element 0 of the first two
// has the values of the factor found.
export const S_SQUARES: usize = 64;
export const S_PRODUCTS: usize = 112;
export const S_COSINES: usize = 160;
export const S_ABS: usize = 256; // f32 [MAX_DIM + 16] |u|, then the targets of error feedback
export const S_NEGATIVE: usize = S_ABS + INPUT_BYTES; // i32 [MAX_DIM + 16] −1 where the centroid is negative
export const S_SIGNED: usize = S_NEGATIVE + INPUT_BYTES; // f32 [MAX_DIM + 16] signed centroids
export const S_CODES: usize = S_SIGNED + INPUT_BYTES; // u8 [4][MAX_DIM + 16]
export const S_INPUT: usize = S_CODES + 4 * CODES_BYTES; // f32 [4][MAX_DIM + 16] u
/** From here on the scratch memory belongs to error feedback: 64 bytes, then at most MAX_DIM · 68 + 64 (feedback-rows.ts). */
export const S_FEEDBACK: usize = S_INPUT + 4 * INPUT_BYTES;
/**
 * Bytes of a side's scratch memory. It is not a multiple of 4096: otherwise loads from one side's memory would wait for stores
 * to the other's, because the low bits of their addresses would be equal.
 */
export const QUANTIZE_BYTES: usize = ((S_FEEDBACK + MAX_DIM * 68 + 128 + 4095) & ~4095) + 2112;

/** |u · factor| of four coordinates, with one unit added to the bits where u is not positive. i: byte offset in S_ABS */
// @ts-ignore: decorator
@inline export function magnitudes(s: usize, i: usize, factor: v128): v128 {
  return i32x4.sub(f32x4.mul(v128.load(s + S_ABS + i), factor), v128.load(s + S_NEGATIVE + i));
}

/** The address of bin 0 minus 16 · ROUND_BITS. `binAddresses` adds 16 times the bits of |t| · rate + ROUND. */
// @ts-ignore: decorator
@inline export function binBase(table: usize): v128 {
  if (BIN_BYTES != 16) ERROR("bins are loaded as vectors and found by a shift: they have to have 16 bytes");
  return i32x4.splat(<i32>(table + Q_BINS) - (ROUND_BITS << 4));
}

/** Addresses of the bins of four magnitudes. */
// @ts-ignore: decorator
@inline export function binAddresses(t: v128, rate: v128, last: v128, base: v128): v128 {
  const rounded = f32x4.add(f32x4.pmin(last, f32x4.mul(t, rate)), f32x4.splat(ROUND));
  return i32x4.add(i32x4.shl(rounded, 4), base);
}

/**
 * Rounds four magnitudes to their nearest centroids and writes the codes.
 * t: from `magnitudes` · negative: −1 where the centroid is negative · halves: half the number of codes, i32x4 · codes: u8 [4]
 * returns: signed centroids, f32x4
 */
// @ts-ignore: decorator
@inline export function roundFour(t: v128, negative: v128, rate: v128, last: v128, base: v128, halves: v128, codes: usize): v128 {
  const at = binAddresses(t, rate, last, base);
  // A bin is [boundary, centroid below it, centroid above it, j below it].
  const r0 = v128.load(i32x4.extract_lane(at, 0)), r1 = v128.load(i32x4.extract_lane(at, 1));
  const r2 = v128.load(i32x4.extract_lane(at, 2)), r3 = v128.load(i32x4.extract_lane(at, 3));
  const low01 = zipLow32(r0, r1), low23 = zipLow32(r2, r3), high01 = zipHigh32(r0, r1), high23 = zipHigh32(r2, r3);
  const isAbove = f32x4.gt(t, v128.shuffle<u64>(low01, low23, 0, 2));
  // Positive floats compare like integers, and the centroid above the boundary is the larger one.
  const c = i32x4.max_s(v128.shuffle<u64>(low01, low23, 1, 3), v128.and(v128.shuffle<u64>(high01, high23, 0, 2), isAbove));
  // half − 1 − j equals half + ~j.
  const j = i32x4.sub(v128.shuffle<u64>(high01, high23, 1, 3), isAbove);
  const own = i32x4.add(v128.xor(j, negative), halves);
  const words = i16x8.narrow_i32x4_u(own, own);
  v128.store32_lane(codes, i8x16.narrow_i16x8_u(words, words), 0);
  return v128.xor(c, v128.and(negative, i32x4.splat(<i32>0x80000000)));
}

/**
 * The second half of the quantization of row 0 without error feedback, after `searchFactor`: chooses the nearest codes with the
 * factor found, and their scale. Writes codes to s + S_CODES, signed centroids to s + S_SIGNED and the scale to s + S_SCALE.
 * d: headDim, a multiple of 8 · bits: 1–8 · side: a side of the append parameters · s: scratch memory of the quantizer
 */
export function choose(d: usize, bits: i32, side: usize, s: usize): void {
  const table = <usize>load<u32>(side, QUANTIZER);
  const rate = v128.load_splat<u32>(table, Q_RATE), last = v128.load_splat<u32>(table, Q_LAST_BIN), base = binBase(table);
  const factor = v128.load_splat<u32>(s, S_FACTOR), halves = i32x4.splat(1 << (bits - 1));
  for (let i: usize = 0; i < d * 4; i += 16) {
    const c = roundFour(magnitudes(s, i, factor), v128.load(s + i, S_NEGATIVE), rate, last, base, halves, s + S_CODES + (i >> 2));
    v128.store(s + i, c, S_SIGNED);
  }
  storeScaleBy(load<u32>(side, RULE), d, s);
}

/** Writes the scale of row 0 to S_SCALE, from ‖c‖² in S_SQUARES and ⟨u, c⟩ in S_PRODUCTS. rule: one of SCALE_RULES */
export function storeScaleBy(rule: u32, d: usize, s: usize): void {
  const norm = load<f32>(s, S_NORM);
  let scale = norm;
  if (rule == RULE_NORM_PRESERVING) scale = (norm * <f32>Math.sqrt(<f64>d)) / sqrt<f32>(load<f32>(s, S_SQUARES));
  else if (rule == RULE_LEAST_SQUARES) scale = (norm * load<f32>(s, S_PRODUCTS)) / load<f32>(s, S_SQUARES);
  store<f32>(s, max<f32>(-MAX_FLOAT16, min<f32>(MAX_FLOAT16, scale)), S_SCALE);
}
