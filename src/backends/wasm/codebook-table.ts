/**
 * @file Codebooks in the form the attention kernels look them up (assembly/attend/unpack.ts).
 *
 * Centroids become int16. Up to 4 bits, 16 of them fit two byte tables; 5 bits take two pairs of tables; 6 to 8 bits are
 * cut into 16 segments of 4, 8 or 16 levels, each a line and two bends, which costs at most 3 % of the codebook's own
 * distortion (test/tolerances.ts, `codebookTable`).
 */
import { BetaDensity } from "../../math/beta-density.ts";
import { getCodebook } from "../../quant/codebook.ts";

export const TABLE_BYTES = 144;
const SHIFT = 128;

export interface CodebookTable {
  /** [TABLE_BYTES], copied into WASM memory. */
  readonly bytes: Uint8Array;
  /** Value of one int16 step in the √headDim convention. */
  readonly step: number;
  /** Largest |int16| centroid. */
  readonly max: number;
  /** The centroids the kernel really uses, in int16 steps. */
  readonly levels: Int16Array;
}

/** Largest int16 centroid a width uses: finer steps for finer codebooks, bounded by what slopes of 8 bits can follow. */
const LARGEST: Readonly<Record<number, number>> = { 6: 2047, 7: 4095, 8: 8191 };

export function buildCodebookTable(headDim: number, bits: number): CodebookTable {
  const { scaled } = getCodebook(headDim, bits);
  const max = LARGEST[bits] ?? 2047;
  const step = scaled[scaled.length - 1]! / max;
  return bits <= 5 ? exactTable(scaled, bits, step) : segmentTable(headDim, bits, step);
}

/** A table of any 16 int16 levels (q8_0 and q4_0r use linear ones). */
export function levelTable(levels: ArrayLike<number>, step: number): CodebookTable {
  const bytes = new Uint8Array(TABLE_BYTES);
  for (let i = 0; i < levels.length; i++) putLevel(bytes, i, levels[i]!, 0);
  return { bytes, step, max: Math.max(...Array.from(levels, Math.abs)), levels: Int16Array.from(levels) };
}

function exactTable(scaled: Float32Array, bits: number, step: number): CodebookTable {
  const bytes = new Uint8Array(TABLE_BYTES);
  const levels = Int16Array.from(scaled, (c) => Math.round(c / step));
  levels.forEach((level, i) => {
    if (bits === 5) putLevel(bytes, i >> 1, level, i & 1 ? 32 : 0);
    else putLevel(bytes, i, level, 0);
  });
  return { bytes, step, max: levels[levels.length - 1]!, levels };
}

function putLevel(bytes: Uint8Array, slot: number, level: number, table: number): void {
  bytes[table + slot] = level & 255;
  bytes[table + 16 + slot] = (level >> 8) & 255;
}

/**
 * The two bends, besides a line, that segments are made of: the even and the odd part of how the outermost segment curves.
 * So the outermost ones, where the codebook is steepest, come out exact, and the inner ones, which curve less and alike,
 * are fitted. Integers within a signed byte, so that the kernel and this file compute the same.
 */
function segmentBasis(outermost: readonly number[]): { even: number[]; odd: number[] } {
  const last = outermost.length - 1;
  const slope = (outermost[last]! - outermost[0]!) / last;
  const curve = outermost.map((c, l) => c - outermost[0]! - slope * l);
  const toBytes = (part: number[]): number[] => {
    const most = Math.max(1e-9, ...part.map(Math.abs));
    return part.map((x) => Math.round((x / most) * 127));
  };
  return {
    even: toBytes(curve.map((c, l) => (c + curve[last - l]!) / 2)),
    odd: toBytes(curve.map((c, l) => (c - curve[last - l]!) / 2)),
  };
}

function segmentTable(headDim: number, bits: number, step: number): CodebookTable {
  const { scaled, boundaries } = getCodebook(headDim, bits);
  const bytes = new Uint8Array(TABLE_BYTES);
  const count = 1 << (bits - 4);
  const { even, odd } = segmentBasis(Array.from(scaled.subarray(15 * count), (c) => c / step));
  const index = Array.from({ length: count }, (_, l) => l);
  const masses = cellMasses(headDim, boundaries);
  const fits = Array.from({ length: 16 }, (_, h) => {
    const y = Array.from(scaled.subarray(h * count, (h + 1) * count), (c) => c / step);
    return leastSquares(y, count > 4 ? [index, even, odd] : [index, even], masses.slice(h * count, (h + 1) * count));
  });
  const largest = Math.max(...fits.flatMap(([, ...bends]) => bends.map(Math.abs)));
  const shift = Math.max(0, Math.floor(Math.log2(127 / largest)));
  const levels = new Int16Array(scaled.length);
  fits.forEach(([slope, a0, b0 = 0], h) => {
    const s = Math.min(255, Math.round(slope!));
    const a = Math.round(a0! * 2 ** shift);
    const b = Math.round(b0 * 2 ** shift);
    const rise = index.map((l) => s * l + ((a * even[l]! + b * odd[l]!) >> shift));
    // The base takes up what rounding and shifting did to the segment's mean.
    let base = 0;
    let mass = 0;
    rise.forEach((value, l) => {
      base += masses[h * count + l]! * (scaled[h * count + l]! / step - value);
      mass += masses[h * count + l]!;
    });
    base = Math.round(base / mass);
    putLevel(bytes, h, base, 0);
    bytes[32 + h] = s;
    bytes[48 + h] = a & 255;
    bytes[64 + h] = b & 255;
    rise.forEach((value, l) => {
      levels[h * count + l] = base + value;
    });
  });
  for (const [at, terms] of [
    [96, even],
    [112, odd],
  ] as const) {
    terms.forEach((x, l) => {
      bytes[at + l] = x & 255;
    });
  }
  new DataView(bytes.buffer).setInt32(SHIFT, shift, true);
  return { bytes, step, max: Math.max(...Array.from(levels, Math.abs)), levels };
}

/** Probability of each cell, with a floor so that the outermost ones still count. */
function cellMasses(headDim: number, boundaries: Float32Array): number[] {
  const density = new BetaDensity(headDim);
  const edges = [-1, ...Array.from(boundaries, (b) => b / Math.sqrt(headDim)), 1];
  return edges.slice(1).map((edge, i) => density.mass(edges[i]!, edge) + 1e-9);
}

/** Weighted least squares of y by a constant and `terms`; returns the terms' coefficients. */
function leastSquares(y: number[], terms: number[][], weights: number[]): number[] {
  const size = terms.length + 1;
  const rows = Array.from({ length: size }, () => new Float64Array(size + 1));
  y.forEach((value, l) => {
    const basis = [1, ...terms.map((term) => term[l]!), value];
    for (let i = 0; i < size; i++) for (let j = 0; j <= size; j++) rows[i]![j]! += weights[l]! * basis[i]! * basis[j]!;
  });
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < size; k++) {
      if (k === i) continue;
      const factor = rows[k]![i]! / rows[i]![i]!;
      for (let j = i; j <= size; j++) rows[k]![j]! -= factor * rows[i]![j]!;
    }
  }
  return rows.slice(1).map((row, i) => row[size]! / row[i + 1]!);
}
