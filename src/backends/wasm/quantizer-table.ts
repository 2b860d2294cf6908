/** @file What the append kernel needs of a codebook (assembly/store/params.ts, Q_*). */
import { getCodebook } from "../../quant/codebook.ts";
import { SEARCH_FACTORS } from "../../quant/vector-quantizer.ts";

const BOUNDARIES = 0;
const CENTROIDS = 512;
const BINS = 1024;
const FACTORS = 1536;
export const QUANTIZER_BYTES = 1600;
const NUM_BINS = 512;
/** Bins a unit of |t|, as in assembly/store/quantize.ts. */
const BINS_PER_UNIT = 64;

/** Positive boundaries (then infinity), positive centroids, and for each bin of |t| the boundaries that lie below it. */
export function buildQuantizerTable(headDim: number, bits: number): Uint8Array {
  const { scaled, boundaries } = getCodebook(headDim, bits);
  const half = scaled.length / 2;
  const view = new DataView(new ArrayBuffer(QUANTIZER_BYTES));
  const positive = Array.from(boundaries.subarray(half));
  for (let i = 0; i < half; i++) {
    view.setFloat32(BOUNDARIES + 4 * i, positive[i] ?? Number.POSITIVE_INFINITY, true);
    view.setFloat32(CENTROIDS + 4 * i, scaled[half + i]!, true);
  }
  for (let bin = 0; bin < NUM_BINS; bin++) {
    view.setUint8(BINS + bin, positive.filter((b) => b < bin / BINS_PER_UNIT).length);
  }
  SEARCH_FACTORS.forEach((factor, i) => {
    view.setFloat32(FACTORS + 4 * i, factor, true);
  });
  return new Uint8Array(view.buffer);
}
