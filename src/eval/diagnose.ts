/**
 * @file Measures, layer by layer, the noise that a format adds to attention logits, beside the law that predicts it.
 *
 * Queries, keys and values of an exact cache are coded and decoded with the reference codec (every backend writes the same
 * codes) and compared. Law: σ = rms(q) · rms(k) · √D_b, with the rms of a coordinate after calibration, and D_b the distortion
 * of the b-bit codebook (TurboQuant, arXiv 2504.19874, theorem 1). Cosines are reported because people ask for them; they are
 * diagnostics and decide nothing.
 */
import { firstKey } from "../backends/attention-layer.ts";
import type { AttentionLayer } from "../backends/ops.ts";
import { hasResidual } from "../cache/layer-cache.ts";
import type { LLM } from "../engine/llm.ts";
import { yieldNow } from "../engine/yield-now.ts";
import type { Decoder } from "../models/decoder.ts";
import { attentionLayersOf, layoutOf } from "../models/layout.ts";
import { codecOf } from "../quant/codecs/registry.ts";
import { PAGE_TOKENS, pageLayout } from "../quant/page-layout.ts";
import { dimOf } from "../quant/page-regions.ts";
import { type HeadCalibration, headCalibrations, RowCodec } from "../quant/row-codec.ts";
import { captureVectors, type LayerVectors } from "./tap.ts";

/** Errors of one layer, averaged over heads. Only keys count that a query reads as codes, so neither sinks nor window. */
export interface LayerDiagnosis {
  readonly layer: number;
  /** RMS of a coordinate of the queries, and of the keys as they are quantized. */
  readonly rmsQ: number;
  readonly rmsK: number;
  /** RMS error of an attention logit; null when no key is read as codes. */
  readonly logitNoise: number | null;
  /** The error that the law predicts; null for formats without a Lloyd–Max codebook. */
  readonly logitNoiseLaw: number | null;
  /** Mean cosine between a query's logits and the exact ones. */
  readonly scoreCosine: number | null;
  /** Squared error over squared norm. */
  readonly keyError: number;
  readonly valueError: number;
  readonly keyCosine: number;
  readonly valueCosine: number;
}

/** Tokens examined: enough for a noise level, and few enough for the slow reference codec. */
const MAX_TOKENS = 512;
/** Number of query positions, spread evenly. */
const QUERY_ROWS = 32;

/**
 * Diagnoses each decoder's format on the first tokens of `tokens`.
 * returns: [format][layer]
 */
export async function diagnoseFormats(
  llm: LLM,
  tokens: Int32Array,
  decoders: readonly Decoder[],
  signal?: AbortSignal,
): Promise<LayerDiagnosis[][]> {
  const vectors = await captureVectors(llm, tokens.subarray(0, MAX_TOKENS), signal);
  const attentionLayers = attentionLayersOf(layoutOf(llm.config));
  const results: LayerDiagnosis[][] = [];
  for (const decoder of decoders) {
    const layers: LayerDiagnosis[] = [];
    for (const [layer, own] of vectors.entries()) {
      signal?.throwIfAborted();
      layers.push({ ...diagnoseLayer(decoder.attentionLayer(layer), own), layer: attentionLayers[layer]! });
      await yieldNow();
    }
    results.push(layers);
  }
  return results;
}

/** Sums up squared error, squared norm and cosines between vectors and their decoded versions. */
class VectorErrors {
  #error = 0;
  #square = 0;
  #cosines = 0;
  #count = 0;

  add(exact: ArrayLike<number>, decoded: ArrayLike<number>): void {
    let [error, square, other, dot] = [0, 0, 0, 0];
    for (let i = 0; i < exact.length; i++) {
      const [x, y] = [exact[i]!, decoded[i]!];
      error += (x - y) ** 2;
      square += x * x;
      other += y * y;
      dot += x * y;
    }
    if (square === 0) return;
    this.#error += error;
    this.#square += square;
    this.#cosines += other > 0 ? dot / Math.sqrt(square * other) : 0;
    this.#count++;
  }

  get relative(): number {
    return this.#square > 0 ? this.#error / this.#square : 0;
  }
  get cosine(): number {
    return this.#count > 0 ? this.#cosines / this.#count : 1;
  }
}

/** Vectors of one head as they are quantized, and as they are read back. */
interface Coded {
  readonly exact: Float32Array;
  readonly decoded: Float32Array;
}

export function diagnoseLayer(layer: AttentionLayer, { queries, keys, values }: LayerVectors): LayerDiagnosis {
  const { numHeads, numKvHeads, headDim: d, valueDim } = layer;
  const { format } = layer.kv;
  const tokens = keys.length / (numKvHeads * d);
  const group = numHeads / numKvHeads;
  const kCodec = new RowCodec(format.k, format, d);
  const [keyErrors, valueErrors] = [new VectorErrors(), new VectorErrors()];
  const noise = { squares: 0, count: 0, cosines: 0, rows: 0 };
  let [squaresQ, squaresK, law] = [0, 0, 0];
  const keyConstants = headCalibrations(layer.kv, "k");
  const valueConstants = headCalibrations(layer.kv, "v");
  for (let head = 0; head < numKvHeads; head++) {
    const calibration = keyConstants(head);
    const k = code(keys, head, layer, "k", calibration);
    const v = code(values, head, layer, "v", valueConstants(head));
    for (let j = format.sinks; j < tokens; j++) {
      keyErrors.add(k.exact.subarray(j * d, (j + 1) * d), k.decoded.subarray(j * d, (j + 1) * d));
      const value = [j * valueDim, (j + 1) * valueDim] as const;
      valueErrors.add(v.exact.subarray(...value), v.decoded.subarray(...value));
    }
    const meanSquareK = meanSquare(k.exact.subarray(Math.min(format.sinks, tokens - 1) * d));
    let meanSquareQ = 0;
    for (let g = 0; g < group; g++) {
      for (let n = 0; n < QUERY_ROWS; n++) {
        const i = Math.floor(((n + 1) * tokens) / QUERY_ROWS) - 1;
        if (i < 0) continue;
        const at = (i * numHeads + head * group + g) * d;
        const query = queries.slice(at, at + d);
        kCodec.prepareQuery(query, calibration);
        meanSquareQ += meanSquare(query) / layer.scale ** 2 / (group * QUERY_ROWS);
        addLogits(query, k, codeRange(layer, i), noise);
      }
    }
    squaresQ += meanSquareQ / numKvHeads;
    squaresK += meanSquareK / numKvHeads;
    law += (meanSquareQ * meanSquareK) / numKvHeads;
  }
  const distortion = codecOf(format.k).distortionOf?.(format.k, d) ?? null;
  return {
    layer: layer.index,
    rmsQ: Math.sqrt(squaresQ),
    rmsK: Math.sqrt(squaresK),
    logitNoise: noise.count > 0 ? Math.sqrt(noise.squares / noise.count) : null,
    logitNoiseLaw: distortion === null ? null : Math.sqrt(law * distortion * d) * layer.scale,
    scoreCosine: noise.rows > 0 ? noise.cosines / noise.rows : null,
    keyError: keyErrors.relative,
    valueError: valueErrors.relative,
    keyCosine: keyErrors.cosine,
    valueCosine: valueErrors.cosine,
  };
}

/** Codes and decodes the vectors of one head for all tokens. vectors: [tokens][numKvHeads·d], d coordinates of that side */
function code(
  vectors: Float32Array,
  head: number,
  layer: AttentionLayer,
  side: "k" | "v",
  calibration: HeadCalibration | null,
): Coded {
  const { numKvHeads, headDim, valueDim } = layer;
  const { format } = layer.kv;
  const d = dimOf(layer, side);
  const tokens = vectors.length / (numKvHeads * d);
  const codec = new RowCodec(format[side], format, d);
  const layout = pageLayout(format.k, format.v, headDim, 1, PAGE_TOKENS, valueDim);
  const { pageTokens } = layout;
  const page = new Uint8Array(layout.numBytes);
  const result = { exact: new Float32Array(tokens * d), decoded: new Float32Array(tokens * d) };
  for (let start = 0; start < tokens; start += pageTokens) {
    const count = Math.min(pageTokens, tokens - start);
    const rows = result.exact.subarray(start * d, (start + count) * d);
    page.fill(0);
    for (let row = 0; row < count; row++) {
      const at = ((start + row) * numKvHeads + head) * d;
      const exact = rows.subarray(row * d, (row + 1) * d);
      exact.set(vectors.subarray(at, at + d));
      codec.prepare(exact, calibration ?? undefined);
      codec.write(exact, page, layout, side, 0, row, calibration?.feedback ?? null);
    }
    // What is stored a page at a time exists only as 16-bit copies until the page is full.
    const isCoded = !codec.isStoredWhole || count === pageTokens;
    if (codec.isStoredWhole && isCoded) codec.storePage(rows.slice(), page, layout, side, 0);
    for (let row = 0; row < count; row++) {
      const decoded = result.decoded.subarray((start + row) * d, (start + row + 1) * d);
      if (isCoded) codec.read(page, layout, side, 0, row, decoded);
      else decoded.set(rows.subarray(row * d, (row + 1) * d));
    }
  }
  return result;
}

/** The range [from, to) of positions that the query at position i reads as codes. */
function codeRange(layer: AttentionLayer, i: number): readonly [number, number] {
  const { format } = layer.kv;
  const withCopies = hasResidual(format);
  const from = Math.max(withCopies ? format.sinks : 0, firstKey(layer, i));
  // The window is the last `window` positions, i included.
  return [from, withCopies ? i - format.window + 1 : i + 1];
}

function addLogits(
  query: Float32Array,
  { exact, decoded }: Coded,
  [from, to]: readonly [number, number],
  noise: { squares: number; count: number; cosines: number; rows: number },
): void {
  const d = query.length;
  let [dot, own, other] = [0, 0, 0];
  for (let j = from; j < to; j++) {
    let [a, b] = [0, 0];
    for (let c = 0; c < d; c++) {
      a += query[c]! * exact[j * d + c]!;
      b += query[c]! * decoded[j * d + c]!;
    }
    noise.squares += (a - b) ** 2;
    noise.count++;
    dot += a * b;
    own += a * a;
    other += b * b;
  }
  if (own === 0 || other === 0) return;
  noise.cosines += dot / Math.sqrt(own * other);
  noise.rows++;
}

function meanSquare(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return values.length > 0 ? sum / values.length : 0;
}
