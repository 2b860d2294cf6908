/** @file Tables on codebooks after few iterations, and on cosines of quantized vectors, at head_dim 128. */
import { BetaDensity } from "../../src/math/beta-density.ts";
import { distortion, lloydIterations, lloydMax } from "../../src/math/lloyd-max.ts";
import type { Bits } from "../../src/quant/kv-format.ts";
import { TurboQuantMse } from "../../src/quant/turboquant-mse.ts";
import { figures } from "./table.ts";
import { cosine, gaussianVectors } from "./vectors.ts";

const DIMENSION = 128;
const VECTORS = 2000;

/** Squared error for a unit vector, by the number of Lloyd's iterations from cells of equal probability. */
export function codebookIterations(): string {
  const density = new BetaDensity(DIMENSION);
  const widths = [2, 3, 4, 5, 8];
  const error = (c: Float64Array): number => DIMENSION * distortion(density, c);
  const best = widths.map((bits) => error(lloydMax(density, 2 ** bits)));
  const rows = [10, 50, 100, 300, 1000].map((iterations) => [
    String(iterations),
    ...widths.flatMap((bits, i) => {
      const d = error(lloydIterations(density, 2 ** bits, iterations));
      return [`${Math.sqrt(1 - d).toFixed(5)}, +${Math.max(0, 100 * (d / best[i]! - 1)).toFixed(2)} %`];
    }),
  ]);
  rows.push(["converged", ...best.map((d) => `${Math.sqrt(1 - d).toFixed(5)}, D ${d.toPrecision(4)}`)]);
  return figures(["iterations", ...widths.map((bits) => `${bits} bits: cosine, error`)], rows);
}

/** Cosine between a vector and its decoded codes, by theory and for random vectors under a dense random rotation. */
export function vectorCosines(): string {
  const density = new BetaDensity(DIMENSION);
  const vectors = gaussianVectors(DIMENSION, VECTORS);
  const rows = ([1, 2, 3, 4, 5, 6, 7, 8] as Bits[]).map((bits) => {
    const d = DIMENSION * distortion(density, lloydMax(density, 2 ** bits));
    const codec = new TurboQuantMse({ dimension: DIMENSION, bits, rotation: "qr" });
    const cosines = vectors.map((x) => cosine(x, codec.dequantize(codec.quantize(x))));
    const mean = cosines.reduce((sum, c) => sum + c, 0) / VECTORS;
    return [
      String(bits),
      Math.sqrt(1 - d).toFixed(5),
      mean.toFixed(5),
      Math.min(...cosines).toFixed(5),
      `${(100 * Math.sqrt(d)).toFixed(1)} %`,
    ];
  });
  return figures(["bits", "√(1 − D)", `mean of ${VECTORS}`, "least", "relative error √D"], rows);
}
