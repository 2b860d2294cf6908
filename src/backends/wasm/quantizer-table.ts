/** @file Builds what the append kernel needs of a codebook (src/backends/parameters/attention.ts, `quantizerTable`). */
import { getCodebook } from "../../quant/codebook.ts";
import { INVERSE_FACTORS, SEARCH_FACTORS } from "../../quant/vector-quantizer.ts";
import { quantizerBin, quantizerTable as table } from "../parameters/attention.ts";

/** Byte offsets within the table. */
export const { rate: RATE, lastBin: LAST_BIN, factors: FACTORS, inverses: INVERSES, bins: BINS } = table.offsets;
const { smallBoundaries: SMALL_BOUNDARIES, smallBelow: SMALL_BELOW, smallCentroids: SMALL_CENTROIDS } = table.offsets;
export const BIN_BYTES = quantizerBin.numBytes;
/** Number of bytes that one swizzle can look up. */
const SMALL_BINS = 16;

/**
 * Bins of |t|: bin i holds those |t| for which |t|·rate rounds to i, ties either way. The rate is a power of two, so that the
 * product is exact, and so large that no bin, ends included, holds two boundaries. A bin stores its boundary (infinity if it has none), the positive centroids below and above
 * that boundary, and the number of positive boundaries below it. The last bin holds everything above.
 *
 * When there are at most 16 bins, the bytes of boundaries and centroids are also stored as planes.
 *
 * headDim: multiple of 8 · bits: 1–8 · iterations: as in `getCodebook` · at most 240 + 16 · 1100 bytes
 */
export function buildQuantizerTable(headDim: number, bits: number, iterations?: number): Uint8Array {
  const { scaled, boundaries } = getCodebook(headDim, bits, iterations);
  const half = scaled.length / 2;
  const centroids = scaled.subarray(half);
  const positive = boundaries.subarray(half);
  const narrowest = positive.reduce((least, b, i) => Math.min(least, b - (positive[i - 1] ?? 0)), 1);
  const rate = 2 ** Math.ceil(Math.log2(1 / narrowest) + 1e-6);
  const last = Math.ceil((positive[half - 2] ?? 0) * rate + 0.5) + 1;
  const view = new DataView(new ArrayBuffer(BINS + BIN_BYTES * (last + 1)));
  table.write(view, 0, {
    rate,
    lastBin: last,
    isSmall: last < SMALL_BINS ? 1 : 0,
    factors: [...SEARCH_FACTORS],
    inverses: [...INVERSE_FACTORS],
  });
  let below = 0;
  for (let bin = 0; bin <= last; bin++) {
    const at = BINS + BIN_BYTES * bin;
    // A boundary on the edge between two bins is in both, which does no harm: all of one bin is on the same side of it.
    while (below < half - 1 && positive[below]! * rate < bin - 0.5) below++;
    const boundary =
      below < half - 1 && positive[below]! * rate <= bin + 0.5 ? positive[below]! : Number.POSITIVE_INFINITY;
    quantizerBin.write(view, at, {
      boundary,
      below: centroids[below]!,
      above: centroids[below + 1] ?? centroids[below]!,
      boundariesBelow: below,
    });
  }
  const bytes = new Uint8Array(view.buffer);
  if (last < SMALL_BINS) addPlanes(bytes, last, centroids);
  return bytes;
}

function addPlanes(table: Uint8Array, last: number, centroids: Float32Array): void {
  const bytes = new Uint8Array(centroids.slice().buffer);
  const { boundary, boundariesBelow } = quantizerBin.offsets;
  for (let bin = 0; bin <= last; bin++) {
    const at = BINS + bin * BIN_BYTES;
    for (let plane = 0; plane < 4; plane++) table[SMALL_BOUNDARIES + plane * 16 + bin] = table[at + boundary + plane]!;
    table[SMALL_BELOW + bin] = table[at + boundariesBelow]!;
  }
  for (let j = 0; j < centroids.length; j++) {
    for (let plane = 0; plane < 4; plane++) table[SMALL_CENTROIDS + plane * 16 + j] = bytes[j * 4 + plane]!;
  }
}
