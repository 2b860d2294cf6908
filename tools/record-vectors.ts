/**
 * @file Measures codecs on keys and values saved from a larger model, and appends rows to bench/results/findings.jsonl:
 * `npx tsx tools/record-vectors.ts MODEL FILE…`
 *
 * The names of the files end in keys.bin or values.bin (tools/findings/saved-vectors.ts). Means are taken from the first half
 * of the tokens, errors from the second.
 */
import { appendFileSync } from "node:fs";
import { RotatedQ4Codec } from "../src/quant/baselines/q4-0-rotated.ts";
import type { Bits } from "../src/quant/kv-format.ts";
import { TurboQuantMse, type TurboQuantMseOptions } from "../src/quant/turboquant-mse.ts";
import { readArguments, refuse } from "./command-line.ts";
import { OUT, type VectorFinding } from "./findings/rows.ts";
import { readSavedVectors, type SavedVectors } from "./findings/saved-vectors.ts";

const BITS: readonly Bits[] = [2, 3, 4];

interface Codec {
  roundTrip(x: Float32Array): Float32Array;
}

function turboQuant(options: TurboQuantMseOptions): Codec {
  const codec = new TurboQuantMse(options);
  return { roundTrip: (x) => codec.dequantize(codec.quantize(x)) };
}

function rotatedQ4(dimension: number): Codec {
  const codec = new RotatedQ4Codec({ dimension });
  return { roundTrip: (x) => codec.dequantize(codec.quantize(x)) };
}

const squared = (x: Float32Array): number => x.reduce((sum, value) => sum + value * value, 0);
const minus = (x: Float32Array, y: Float32Array): Float32Array => x.map((value, i) => value - y[i]!);

function meanOf(vectors: readonly Float32Array[]): Float32Array {
  const first = vectors[0]!;
  return first.map((_, i) => vectors.reduce((sum, x) => sum + x[i]!, 0) / vectors.length);
}

const [model, ...files] = readArguments();
if (!model || files.length === 0) refuse("expected MODEL FILE…; files end in keys.bin or values.bin");
function read(file: string): SavedVectors {
  try {
    return readSavedVectors(file);
  } catch (error) {
    return refuse((error as Error).message);
  }
}
// All files are read before the first row is written, so that a faulty file leaves no partial result.
for (const [file, { layer, headDim: dimension, heads }] of files.map((file) => [file, read(file)] as const)) {
  const side = file.endsWith("keys.bin") ? "k" : "v";
  /** Σ error² over Σ norm² of the original vectors, even if a mean was subtracted from them. */
  const errorOf = (codec: Codec, takesMean = false): number => {
    const sums = heads.map((vectors) => {
      const half = vectors.length >> 1;
      const mean = takesMean ? meanOf(vectors.slice(0, half)) : new Float32Array(dimension);
      const rest = vectors.slice(half);
      const errors = rest.map((x) => minus(x, mean)).map((x) => squared(minus(codec.roundTrip(x), x)));
      return [errors.reduce((a, b) => a + b, 0), rest.reduce((sum, x) => sum + squared(x), 0)] as const;
    });
    return sums.reduce((sum, [error]) => sum + error, 0) / sums.reduce((sum, [, norm]) => sum + norm, 0);
  };
  const searched = { scale: "least-squares", search: true } as const;
  const chained = turboQuant({ dimension, bits: 2, scale: "least-squares", trellis: true });
  const trellis = (): [string, number][] => [
    ["2 bits in a trellis", errorOf(chained)],
    ["2 bits in a trellis, less the mean", errorOf(chained, true)],
  ];
  const rows = BITS.flatMap((bits): [string, number][] => [
    [`${bits} bits, no rotation`, errorOf(turboQuant({ dimension, bits, rotation: "none" }))],
    [`${bits} bits, as published`, errorOf(turboQuant({ dimension, bits }))],
    [`${bits} bits, searched scale`, errorOf(turboQuant({ dimension, bits, ...searched }))],
    [`${bits} bits, and less the mean`, errorOf(turboQuant({ dimension, bits, ...searched }), true)],
    ...(bits === 2 ? trellis() : []),
    ...(bits === 4 ? ([["rotated q4_0 (4.5 bits)", errorOf(rotatedQ4(dimension))]] as [string, number][]) : []),
  ]);
  const date = new Date().toISOString();
  const finding: VectorFinding = { kind: "vectors", model, layer, side, tokens: heads[0]!.length, errors: rows };
  appendFileSync(OUT, `${JSON.stringify({ ...finding, date })}\n`);
  console.log(
    `${model}, layer ${layer}, ${side}: ${rows.map(([name, error]) => `${name} ${error.toFixed(4)}`).join("; ")}`,
  );
}
