/** @file Tables on inner products with and without a QJL sketch: bias and noise at equal bits, and by the size of the projection. */
import type { Bits } from "../../src/quant/kv-format.ts";
import { TurboQuantMse } from "../../src/quant/turboquant-mse.ts";
import { TurboQuantProd } from "../../src/quant/turboquant-prod.ts";
import { figures } from "./table.ts";
import { dot, gaussianVectors } from "./vectors.ts";

const DIMENSION = 128;
const PAIRS = 2000;

const keys = gaussianVectors(DIMENSION, PAIRS);
const queries = gaussianVectors(DIMENSION, PAIRS, 2);

interface Errors {
  /** Bias of ⟨x, x̂⟩ / ‖x‖²: how much the logit of a key that a query is looking for is reduced. */
  readonly bias: number;
  /** d · E[(⟨q, x̂⟩ − ⟨q, x⟩)²] / (‖q‖²‖x‖²): squared noise of a logit, normalised as in the paper. */
  readonly noise: number;
}

function errorsOf(estimate: (query: Float32Array, key: Float32Array) => number): Errors {
  let bias = 0;
  let noise = 0;
  keys.forEach((key, i) => {
    const query = queries[i]!;
    bias += estimate(key, key) / dot(key, key) - 1;
    noise += (DIMENSION * (estimate(query, key) - dot(query, key)) ** 2) / (dot(query, query) * dot(key, key));
  });
  return { bias: bias / PAIRS, noise: noise / PAIRS };
}

function codesAlone(bits: Bits): Errors {
  const codec = new TurboQuantMse({ dimension: DIMENSION, bits });
  return errorsOf((query, key) => dot(query, codec.dequantize(codec.quantize(key))));
}

/** bits: of codes and sketch together when there are as many projections as coordinates */
function withSketch(bits: Bits, projections = DIMENSION, projection: "gaussian" | "orthogonal" = "gaussian"): Errors {
  const codec = new TurboQuantProd({ dimension: DIMENSION, bits, projections, projection });
  return errorsOf((query, key) => codec.innerProduct(query, codec.quantize(key)));
}

const cells = ({ bias, noise }: Errors): string[] => [`${(100 * bias).toFixed(1)} %`, noise.toFixed(4)];

export function qjlAtEqualBits(): string {
  const rows = ([2, 3, 4] as const).flatMap((bits) => {
    const more = (bits + 1) as Bits;
    return [
      [`${bits}-bit codes`, `${bits}`, ...cells(codesAlone(bits))],
      [`${bits}-bit codes and QJL`, `${more}`, ...cells(withSketch(more))],
      [`${bits}-bit codes and QJL, orthogonal`, `${more}`, ...cells(withSketch(more, DIMENSION, "orthogonal"))],
    ];
  });
  rows.push(["5-bit codes", "5", ...cells(codesAlone(5))]);
  return figures(["keys stored as", "bits", "bias of ⟨k, k̂⟩", "noise of ⟨q, k̂⟩, d·variance"], rows);
}

export function projectionSizes(): string {
  const rows = [8, 16, 32, 64, 128, 256, 512].map((m) => [
    String(m),
    (2 + m / DIMENSION).toFixed(3),
    ...cells(withSketch(3, m)),
    (4 + m / DIMENSION).toFixed(3),
    ...cells(withSketch(5, m)),
  ]);
  const without = ["none", "2", ...cells(codesAlone(2)), "4", ...cells(codesAlone(4))];
  const titles = ["projections", "bits", "bias", "noise", "bits", "bias", "noise"];
  return figures(titles, [without, ...rows]);
}
