/**
 * @file Codebooks as tables for the attention kernels (assembly/attend/centroids.ts).
 *
 * Centroids become int16 levels. One bit needs no table. Up to 4 bits, 16 levels fit two tables of bytes; 5 bits take a pair of
 * tables for even and one for odd codes. From 6 bits on, the codebook's symmetry is used: a table of magnitudes with the sign
 * apart, and levels of the form x + ½, so that the complement negates them. 6 bits look up every magnitude. 7 and 8 bits use
 * straight lines over 16 segments, except for the last 16 magnitudes, where the codebook bends and a table replaces the
 * abscissa. This adds at most 2 % to the codebook's distortion (test/tolerances.ts, `codebookTable`).
 */
import { assert } from "../../errors.ts";
import { BetaDensity } from "../../math/beta-density.ts";
import { getCodebook } from "../../quant/codebook.ts";
import { TRELLIS_VALUES } from "../../quant/trellis.ts";

export const TABLE_BYTES = 64;

export interface CodebookTable {
  /** [TABLE_BYTES] bytes, which are copied into WASM memory at a multiple of 16. */
  readonly bytes: Uint8Array;
  /** Value of one int16 step, for vectors of norm √headDim. */
  readonly step: number;
  /** Upper bound of |level|. */
  readonly max: number;
  /** The centroids that the kernel actually uses, in steps, [2^bits]. */
  readonly levels: Float64Array;
}

/** Approximate largest int16 level by bits: finer codebooks get finer steps, as far as the slopes of 8 bits allow. */
const LARGEST: Readonly<Record<number, number>> = { 1: 1, 7: 8191, 8: 8191 };

/** headDim: multiple of 8 · bits: 1–8 · iterations: as in `getCodebook` */
export function buildCodebookTable(headDim: number, bits: number, iterations?: number): CodebookTable {
  const { scaled } = getCodebook(headDim, bits, iterations);
  const step = scaled[scaled.length - 1]! / (LARGEST[bits] ?? 2047);
  if (bits <= 5) return lookupTable(scaled, bits, step);
  const magnitudes = Array.from(scaled.subarray(scaled.length / 2), (c) => c / step - 0.5);
  const { bytes, levels } =
    bits === 6 ? magnitudeTable(magnitudes) : segmentTable(magnitudes, cellMasses(headDim, bits, iterations), bits);
  const half = levels.map((level) => level + 0.5);
  return {
    bytes,
    step,
    max: Math.max(...levels) + 1,
    levels: Float64Array.from([...half.toReversed().map((level) => -level), ...half]),
  };
}

/** Larger than for other codes of few bits, because some of the values are near 0. */
const LARGEST_IN_TRELLIS = 4095;

/** The table of the trellis: a level for each pair of a two-bit code and the code before it. */
export function buildTrellisTable(): CodebookTable {
  const largest = Math.max(...TRELLIS_VALUES.map(Math.abs));
  const step = largest / LARGEST_IN_TRELLIS;
  const bytes = new Uint8Array(TABLE_BYTES);
  const levels = Float64Array.from(TRELLIS_VALUES, (value) => Math.round(value / step));
  levels.forEach((level, place) => {
    putLevel(bytes, 0, place, level);
  });
  return { bytes, step, max: LARGEST_IN_TRELLIS, levels };
}

/** For 1–5 bits: a level for each code. */
function lookupTable(scaled: Float32Array, bits: number, step: number): CodebookTable {
  const bytes = new Uint8Array(TABLE_BYTES);
  const levels = Float64Array.from(scaled, (c) => Math.round(c / step));
  levels.forEach((level, code) => {
    if (bits === 5) putLevel(bytes, (code & 1) * 32, code >> 1, level);
    else putLevel(bytes, 0, code, level);
  });
  return { bytes, step, max: levels[levels.length - 1]!, levels };
}

/** For 6 bits: 32 magnitudes in two pairs of tables. */
function magnitudeTable(magnitudes: readonly number[]): { bytes: Uint8Array; levels: number[] } {
  const bytes = new Uint8Array(TABLE_BYTES);
  const levels = magnitudes.map(Math.round);
  levels.forEach((level, m) => {
    putLevel(bytes, m < 16 ? 0 : 32, m & 15, level);
  });
  return { bytes, levels };
}

/**
 * For 7 and 8 bits: level = base[segment] + slope[segment] · t with t = index (from 128 on at 8 bits), or a fitted t for the
 * last 16 magnitudes. Tables: base (low and high bytes), slope, t − index.
 */
function segmentTable(
  magnitudes: readonly number[],
  masses: readonly number[],
  bits: number,
): { bytes: Uint8Array; levels: number[] } {
  const bytes = new Uint8Array(TABLE_BYTES);
  const perSegment = magnitudes.length / 16;
  const offset = bits === 8 ? 128 : 0;
  const fitted = magnitudes.length - 16;
  const levels: number[] = [];
  for (let segment = 0; segment < 16; segment++) {
    const first = segment * perSegment;
    const y = magnitudes.slice(first, first + perSegment);
    const weights = masses.slice(first, first + perSegment);
    const straight = y.map((_, k) => offset + first + k);
    const isFitted = first >= fitted;
    const slope = isFitted ? Math.ceil((y[perSegment - 1]! - y[0]!) / 250) : Math.round(slopeOf(straight, y, weights));
    assert(slope > 0 && slope < 256, `slope ${slope} of segment ${segment} at ${bits} bits`);
    const base = isFitted
      ? Math.round(y[0]!)
      : Math.round(
          mean(
            y.map((value, k) => value - slope * straight[k]!),
            weights,
          ),
        );
    putLevel(bytes, 0, segment, base);
    bytes[32 + segment] = slope;
    y.forEach((value, k) => {
      const t = isFitted ? Math.round((value - base) / slope) : straight[k]!;
      if (isFitted) bytes[48 + first + k - fitted] = t - straight[k]!;
      levels.push(base + slope * t);
    });
  }
  return { bytes, levels };
}

/** Stores the low and high byte of an int16 (modulo 2¹⁶) in a slot of a pair of tables. */
function putLevel(bytes: Uint8Array, table: number, slot: number, level: number): void {
  bytes[table + slot] = level;
  bytes[table + 16 + slot] = level >> 8;
}

/** Probability of the cells of positive centroids, with a minimum so that the outermost ones count too. */
function cellMasses(headDim: number, bits: number, iterations: number | undefined): number[] {
  const { boundaries } = getCodebook(headDim, bits, iterations);
  const density = new BetaDensity(headDim);
  const positive = Array.from(boundaries.subarray((boundaries.length - 1) / 2), (b) => b / Math.sqrt(headDim));
  return positive.map((edge, i) => density.mass(edge, positive[i + 1] ?? 1) + 1e-9);
}

function mean(values: readonly number[], weights: readonly number[]): number {
  const total = weights.reduce((sum, w) => sum + w, 0);
  return values.reduce((sum, value, i) => sum + value * weights[i]!, 0) / total;
}

/** Weighted least squares of y over x. */
function slopeOf(x: readonly number[], y: readonly number[], weights: readonly number[]): number {
  const [mx, my] = [mean(x, weights), mean(y, weights)];
  const covariance = mean(
    x.map((value, i) => (value - mx) * (y[i]! - my)),
    weights,
  );
  return (
    covariance /
    mean(
      x.map((value) => (value - mx) ** 2),
      weights,
    )
  );
}
