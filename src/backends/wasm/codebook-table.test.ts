/** @file The tables of the KV kernels against the codebooks they stand for. */
import { describe, expect, it } from "vitest";
import { tolerance } from "../../../test/tolerances.ts";
import { BetaDensity } from "../../math/beta-density.ts";
import { CounterRng } from "../../math/rng.ts";
import { getCodebook } from "../../quant/codebook.ts";
import { INVERSE_FACTORS, nearestIndex, SEARCH_FACTORS } from "../../quant/vector-quantizer.ts";
import { buildCodebookTable, TABLE_BYTES } from "./codebook-table.ts";
import { BIN_BYTES, BINS, buildQuantizerTable, FACTORS, INVERSES, LAST_BIN, RATE } from "./quantizer-table.ts";

const HEAD_DIMS = [8, 16, 64, 72, 128, 256];
const BITS = [1, 2, 3, 4, 5, 6, 7, 8];

describe.each(HEAD_DIMS)("head_dim %d", (headDim) => {
  it.each(BITS)("levels of %d bits lie within a part of the distortion from the centroids", (bits) => {
    const { scaled, boundaries, distortion } = getCodebook(headDim, bits);
    const { bytes, levels, max, step } = buildCodebookTable(headDim, bits);
    const density = new BetaDensity(headDim);
    const edges = [-1, ...Array.from(boundaries, (b) => b / Math.sqrt(headDim)), 1];
    let error = 0;
    levels.forEach((level, code) => {
      error += density.mass(edges[code]!, edges[code + 1]!) * (level * step - scaled[code]!) ** 2;
      expect(level).toBe(-levels[levels.length - 1 - code]!);
      expect(Math.abs(level)).toBeLessThanOrEqual(max);
    });
    expect(levels.length).toBe(2 ** bits);
    expect(bytes.length).toBe(TABLE_BYTES);
    expect(error / distortion).toBeLessThan(tolerance.codebookTable.max);
  });

  it.each(BITS)("bins of %d bits count the boundaries below any magnitude", (bits) => {
    const { scaled, boundaries } = getCodebook(headDim, bits);
    const half = scaled.length / 2;
    const view = new DataView(buildQuantizerTable(headDim, bits).buffer);
    const rate = view.getFloat32(RATE, true);
    const last = view.getFloat32(LAST_BIN, true);
    expect(view.byteLength).toBe(BINS + BIN_BYTES * (last + 1));
    SEARCH_FACTORS.forEach((factor, i) => {
      expect(view.getFloat32(FACTORS + 4 * i, true)).toBe(factor);
      expect(view.getFloat32(INVERSES + 4 * i, true)).toBe(INVERSE_FACTORS[i]);
    });
    const rng = new CounterRng(headDim, bits);
    const magnitudes = Array.from({ length: 2000 }, (_, i) =>
      Math.fround(Math.abs(rng.gaussian(i)) * (i % 10 === 0 ? 3 : 1)),
    );
    // Where it matters: on every boundary and on every edge between bins, and the floats on either side.
    for (const b of boundaries.subarray(half)) magnitudes.push(...around(b));
    for (let bin = 0; bin < last; bin++) magnitudes.push(...around(Math.fround((bin + 0.5) / rate)));
    for (const t of [...magnitudes, 0, 1e-40, 1e30]) {
      // As assembly/store/quantize.ts does it: round |t|·rate by adding 1.5·2²³, then compare with the bin's boundary.
      const scaledUp = Math.min(last, Math.fround(t * rate));
      const bin = Math.fround(scaledUp + 12582912) - 12582912;
      const at = BINS + BIN_BYTES * bin;
      const isAbove = t > view.getFloat32(at, true);
      const below = view.getInt32(at + 12, true) + (isAbove ? 1 : 0);
      expect(half + below, `|t| = ${t}`).toBe(Math.max(half, nearestIndex(boundaries, t)));
      expect(view.getFloat32(at + (isAbove ? 8 : 4), true)).toBe(scaled[half + below]);
    }
  });
});

/** A positive f32 and its neighbours. */
function around(x: number): number[] {
  const bits = new Int32Array(Float32Array.of(x).buffer)[0]!;
  return Array.from(new Float32Array(Int32Array.of(bits - 1, bits, bits + 1).buffer));
}
