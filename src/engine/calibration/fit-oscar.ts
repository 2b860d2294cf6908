/**
 * @file The rotations of OSCAR (arXiv 2605.17757), as a calibration that `oscar-2` reads: R = U·H·P for each KV head, from what attention
 * saw of a text behind RoPE.
 *
 * U are eigenvectors in the order of falling eigenvalues: for keys of Σ q·qᵀ over the queries of the group, for values of Σ w·v·vᵀ with
 * w = kᵀ·(Σ q·qᵀ)·k of the same token. H is the Hadamard matrix over √d, P reverses the bits of an index.
 */
import { TurboQuantError } from "../../errors.ts";
import { eigenSymmetric } from "../../math/eigen-symmetric.ts";
import { fwht } from "../../math/hadamard.ts";
import type { Decoder } from "../../models/decoder.ts";
import type { OnProgress } from "../../platform.ts";
import type { LayerCalibration, SideCalibration } from "../../quant/calibration.ts";
import { addOuterProducts, mirrored } from "../../quant/outer-sum.ts";
import { tapAttention } from "../attention-tap.ts";
import { requireCalibratedLayers } from "./calibrated-layers.ts";

export interface OscarOptions {
  /** What is read, each sequence from an empty cache. */
  readonly sequences: readonly Int32Array[];
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: OnProgress | undefined;
}

/** Sums of one KV head, lower triangles. */
interface HeadSums {
  readonly queries: Float64Array;
  readonly values: Float64Array;
}

/**
 * The layers that have something to rotate, and their attention.
 * @throws TurboQuantError unsupported — a model that cannot be calibrated, or heads of a width that is no power of two
 */
export function oscarLayers(decoder: Decoder) {
  const found = requireCalibratedLayers(decoder.config);
  const shapes = found.map((_, index) => decoder.attentionLayer(index));
  const odd = shapes.flatMap(({ headDim, valueDim }) => [headDim, valueDim]).find((d) => (d & (d - 1)) !== 0);
  if (odd !== undefined) {
    throw new TurboQuantError(
      "unsupported",
      `calibrate: OSCAR's Hadamard matrix needs heads whose width is a power of two, and these have ${odd}`,
      { headDim: odd },
    );
  }
  return { found, shapes };
}

/**
 * Reads the sequences twice: for the queries, and for the values that these weigh.
 *
 * returns: one for each layer of the model; null for layers without keys and values
 * @throws TurboQuantError unsupported — as `oscarLayers`
 */
export async function fitOscar(decoder: Decoder, options: OscarOptions): Promise<(LayerCalibration | null)[]> {
  const { found, shapes } = oscarLayers(decoder);
  const sums = shapes.map(({ numKvHeads, headDim, valueDim }) =>
    Array.from(
      { length: numKvHeads },
      (): HeadSums => ({
        queries: new Float64Array(headDim * headDim),
        values: new Float64Array(valueDim * valueDim),
      }),
    ),
  );
  await readTwice(decoder, options, shapes, sums);
  const layers = Array.from({ length: decoder.config.numLayers }, (): LayerCalibration | null => null);
  for (const [index, { layer }] of found.entries()) {
    const { numKvHeads, headDim, valueDim } = shapes[index]!;
    const side = (d: number, of: (head: HeadSums) => Float64Array): SideCalibration => {
      const transform = new Float32Array(numKvHeads * d * d);
      for (const [h, head] of sums[index]!.entries()) transform.set(rotationOf(mirrored(of(head), d), d), h * d * d);
      return { transform, metric: new Float32Array(numKvHeads * d).fill(1) };
    };
    layers[layer] = {
      keyMean: new Float32Array(numKvHeads * headDim),
      balance: new Float32Array(numKvHeads * headDim).fill(1),
      key: side(headDim, ({ queries }) => queries),
      value: side(valueDim, ({ values }) => values),
    };
  }
  return layers;
}

interface HeadsOfLayer {
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly valueDim: number;
}

async function readTwice(
  decoder: Decoder,
  { sequences, signal, onProgress }: OscarOptions,
  shapes: readonly HeadsOfLayer[],
  sums: readonly (readonly HeadSums[])[],
): Promise<void> {
  const total = 2 * sequences.reduce((sum, { length }) => sum + length, 0);
  let done = 0;
  for (const pass of ["queries", "values"] as const) {
    const metrics =
      pass === "values"
        ? sums.map((heads, i) => heads.map(({ queries }) => mirrored(queries, shapes[i]!.headDim)))
        : [];
    for (const tokens of sequences) {
      await tapAttention(decoder, tokens, {
        signal,
        onRows(layer, { queries, keys, values }) {
          const { numHeads, numKvHeads, headDim, valueDim } = shapes[layer]!;
          for (const [h, own] of sums[layer]!.entries()) {
            if (pass === "queries") {
              const group = numHeads / numKvHeads;
              for (let g = 0; g < group; g++) addRows(own.queries, queries, numHeads, h * group + g, headDim);
            } else {
              const weights = energies(metrics[layer]![h]!, keys, numKvHeads, h, headDim);
              addRows(own.values, values, numKvHeads, h, valueDim, weights);
            }
          }
        },
        onTokens(read) {
          onProgress?.({ phase: "calibrate", item: "reading", done: done + read, total, unit: "tokens" });
          return true;
        },
      });
      done += tokens.length;
    }
  }
}

/** sum += Σ w·x·xᵀ over the rows of one head, lower triangle; x: [tokens][heads·d] · weights: [tokens], 1 by default */
function addRows(
  sum: Float64Array,
  x: Float32Array,
  heads: number,
  head: number,
  d: number,
  weights: Float64Array | null = null,
): void {
  const tokens = x.length / (heads * d);
  const rows = new Float64Array(tokens * d);
  for (let token = 0; token < tokens; token++) {
    const factor = weights ? Math.sqrt(weights[token]!) : 1;
    for (let i = 0; i < d; i++) rows[token * d + i] = factor * x[(token * heads + head) * d + i]!;
  }
  addOuterProducts(sum, rows, tokens, d);
}

/** kᵀ·M·k of each key of a head. keys: [tokens][heads·d] */
function energies(m: Float64Array, keys: Float32Array, heads: number, head: number, d: number): Float64Array {
  return Float64Array.from({ length: keys.length / (heads * d) }, (_, token) => {
    const at = (token * heads + head) * d;
    let energy = 0;
    for (let i = 0; i < d; i++) {
      let sum = 0;
      for (let j = 0; j < d; j++) sum += m[i * d + j]! * keys[at + j]!;
      energy += sum * keys[at + i]!;
    }
    return Math.max(0, energy);
  });
}

/** Rᵀ of R = U·H·P, row-major: row i is what coordinate i of a rotated vector is the product with. */
function rotationOf(moment: Float64Array, d: number): Float32Array {
  const { values, vectors } = eigenSymmetric(moment, d);
  const order = Array.from(values.keys()).sort((a, b) => values[b]! - values[a]!);
  const bits = Math.log2(d);
  const out = new Float32Array(d * d);
  const unit = new Float32Array(d);
  for (let i = 0; i < d; i++) {
    // Column `reversed(i)` of U·H: the eigenvectors with the signs of a row of the Hadamard matrix.
    unit.fill(0);
    unit[reverseBits(i, bits)] = 1;
    fwht(unit, 0, d);
    for (let j = 0; j < d; j++) {
      let sum = 0;
      for (let k = 0; k < d; k++) sum += unit[k]! * vectors[order[k]! * d + j]!;
      out[i * d + j] = sum / Math.sqrt(d);
    }
  }
  return out;
}

function reverseBits(index: number, bits: number): number {
  let reversed = 0;
  for (let bit = 0; bit < bits; bit++) if (index & (1 << bit)) reversed |= 1 << (bits - 1 - bit);
  return reversed;
}
