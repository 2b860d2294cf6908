/** @file Softmax attention over the cache, one query at a time, in f64. */
import type { MemoryPageStorage } from "../../cache/memory-storage.ts";
import { headCalibrations, RowCodec } from "../../quant/row-codec.ts";
import { windowSide } from "../../quant/window-side.ts";
import { firstKey } from "../attention-layer.ts";
import { ChoiceScratch, chooseBest, chooseBlocks, chooseRuns } from "../choose-best.ts";
import type { AttentionLayer, Span, Step, TokenBlocks, TokenRuns } from "../ops.ts";
import { rowsAt } from "../row-spans.ts";
import { rotaryKeys } from "./append-latent.ts";

/** K and V of one head decoded to floats in the stored space, of the rows at the span's end: [rows][headDim + rotaryKeyDim] and [rows][valueDim]. */
interface Decoded {
  readonly k: Float32Array;
  readonly v: Float32Array;
}

/** From codes, tier by tier, and from the pages of sinks and window. */
interface HeadHistory {
  readonly codes: readonly Decoded[];
  readonly residual: Decoded;
}

/**
 * Decodes the keys and values that a span may read. Only this backend decodes the history, since it exists for checking the
 * others; kernels read the codes directly.
 */
function decodeHistory(storage: MemoryPageStorage, span: Span, layer: AttentionLayer, head: number): HeadHistory {
  const { headDim, valueDim, rotaryKeyDim, index } = layer;
  const keyWidth = headDim + rotaryKeyDim;
  const { format } = layer.kv;
  const { main, residual, reach, tiers } = span.sequence.cache.layers[index]!;
  const end = rowsAt(span.start + span.count, layer.tokensPerRow ?? 1);
  const state = span.sequence.kv(index);
  const ofTiers = [format, ...(format.tiers ?? [])].map(({ k, v }, tier) => ({
    kCodec: new RowCodec(k, format, headDim),
    vCodec: new RowCodec(v, format, valueDim),
    layout: tiers[tier - 1]?.layout ?? main,
    table: state.tiers[tier - 1] ?? state.main,
  }));
  const kCopies = new RowCodec(windowSide(format), format, headDim);
  const vCopies = new RowCodec(windowSide(format), format, valueDim);
  const rotary = rotaryKeyDim > 0 ? main.rotaryKey : null;
  const parts = rotary && new RowCodec(rotary.side, format, rotary.dim);
  const partCopies = rotary && new RowCodec(windowSide(format), format, rotary.dim);
  const make = (): Decoded => ({ k: new Float32Array(end * keyWidth), v: new Float32Array(end * valueDim) });
  const history: HeadHistory = { codes: ofTiers.map(make), residual: make() };
  for (let j = reach.firstKey(span.start); j < end; j++) {
    const ofKey = [j * keyWidth, j * keyWidth + headDim] as const;
    const ofPart = [j * keyWidth + headDim, (j + 1) * keyWidth] as const;
    const ofValue = [j * valueDim, (j + 1) * valueDim] as const;
    for (const [tier, { kCodec, vCodec, layout, table }] of ofTiers.entries()) {
      const coded = table.get(Math.floor(j / main.pageTokens));
      if (!coded) continue;
      const page = storage.bytes(coded);
      const { k, v } = history.codes[tier]!;
      kCodec.read(page, layout, "k", head, j % main.pageTokens, k.subarray(...ofKey));
      vCodec.read(page, layout, "v", head, j % main.pageTokens, v.subarray(...ofValue));
      parts?.read(page, rotaryKeys(layout), "k", head, j % main.pageTokens, k.subarray(...ofPart));
    }
    const address = residual ? span.sequence.residual(index).get(Math.floor(j / residual.layout.pageTokens)) : 0;
    if (!residual || !address) continue;
    const residualPage = storage.bytes(address);
    kCopies.read(
      residualPage,
      residual.layout,
      "k",
      head,
      j % residual.layout.pageTokens,
      history.residual.k.subarray(...ofKey),
    );
    partCopies?.read(
      residualPage,
      rotaryKeys(residual.layout),
      "k",
      head,
      j % residual.layout.pageTokens,
      history.residual.k.subarray(...ofPart),
    );
    vCopies.read(
      residualPage,
      residual.layout,
      "v",
      head,
      j % residual.layout.pageTokens,
      history.residual.v.subarray(...ofValue),
    );
  }
  return history;
}

/** Says where the query at position `query` reads the key and value of a position. */
function reader(
  { codes, residual: copies }: HeadHistory,
  { sequence }: Span,
  index: number,
  query: number,
): (j: number) => Decoded {
  const { main, residual } = sequence.cache.layers[index]!;
  const state = sequence.kv(index);
  const ends = state.tiers.map((_, tier) => state.tierPages(tier, query + 1) * main.pageTokens);
  return (j) => {
    if (residual?.reads(query, j, state.residualStart)) return copies;
    let tier = 0;
    for (const end of ends) if (j < end) tier++;
    return codes[tier]!;
  };
}

/** See `Ops.attend`. sinkLogits: values of the layer's, [numHeads] · logSums: [rows][numHeads] or null */
export function attend(
  storage: MemoryPageStorage,
  step: Step,
  layer: AttentionLayer,
  sinkLogits: Float32Array | null,
  q: Float32Array,
  out: Float32Array,
  chosen: ChosenPositions | null,
  logSums: Float32Array | null,
): void {
  const { numHeads, numKvHeads, valueDim, index, tokensPerRow = 1 } = layer;
  const d = layer.headDim + layer.rotaryKeyDim;
  const { format } = layer.kv;
  const group = numHeads / numKvHeads;
  const vCodec = new RowCodec(format.v, format, valueDim);
  const constants = headCalibrations(layer.kv, "v");
  for (const span of step.spans) {
    for (let kvHead = 0; kvHead < numKvHeads; kvHead++) {
      const history = decodeHistory(storage, span, layer, kvHead);
      for (let n = 0; n < span.count; n++) {
        const i = rowsAt(span.start + n + 1, tokensPerRow) - 1;
        const own = chosen && ownOf(chosen, span.row + n, kvHead);
        const first = firstKey(layer, i);
        const keys = own ?? Array.from({ length: i - first + 1 }, (_, j) => first + j);
        const decoded = keys.map(reader(history, span, index, i));
        for (let g = 0; g < group; g++) {
          const head = kvHead * group + g;
          const at = (span.row + n) * numHeads + head;
          const query = Float64Array.from(q.subarray(at * d, (at + 1) * d));
          const sink = sinkLogits ? sinkLogits[head]! : Number.NEGATIVE_INFINITY;
          const { values: o, logSum } = attendOne(decoded, query, keys, layer, sink);
          if (logSums) logSums[at] = logSum;
          vCodec.restore(o, constants(kvHead));
          out.set(o, at * valueDim);
        }
      }
    }
  }
}

/** What of `ChosenTokens` is in memory. */
export interface ChosenPositions {
  readonly positions: Float32Array;
  readonly count: number;
  readonly lists: number;
}

/** The positions of a row for a KV head. */
function ownOf({ positions, count, lists }: ChosenPositions, row: number, kvHead: number): number[] {
  const list = row * lists + (lists > 1 ? kvHead : 0);
  return [...positions.subarray(list * count, (list + 1) * count)].filter((position) => position >= 0);
}

/** See `Ops.chooseTokens`. by: weights [rows][numHeads], or blocks, or runs */
export function chooseTokens(
  storage: MemoryPageStorage,
  step: Step,
  layer: AttentionLayer,
  q: Float32Array,
  by: Float32Array | TokenBlocks | TokenRuns,
  { positions, count }: ChosenPositions,
): void {
  const { numHeads, index, tokensPerRow = 1 } = layer;
  const d = layer.headDim + layer.rotaryKeyDim;
  const scratch = new ChoiceScratch();
  for (const span of step.spans) {
    const history = decodeHistory(storage, span, layer, 0);
    for (let n = 0; n < span.count; n++) {
      const [row, i] = [span.row + n, rowsAt(span.start + n + 1, tokensPerRow) - 1];
      const decodedAt = reader(history, span, index, i);
      const scoresOf = (h: number): Float32Array =>
        Float32Array.from({ length: i + 1 }, (_, j) => {
          const { k } = decodedAt(j);
          let sum = 0;
          for (let c = 0; c < d; c++) sum += q[(row * numHeads + h) * d + c]! * k[j * d + c]!;
          return sum;
        });
      const listOf = (list: number) => positions.subarray(list * count, (list + 1) * count);
      if (by instanceof Float32Array || !("local" in by)) {
        const scores = new Float32Array(i + 1);
        for (let h = 0; h < numHeads; h++) {
          const weight = by instanceof Float32Array ? by[row * numHeads + h]! : 1;
          for (const [j, score] of scoresOf(h).entries()) scores[j] = scores[j]! + weight * Math.max(0, score);
        }
        if (by instanceof Float32Array) chooseBest(scores, count, listOf(row), scratch);
        else chooseRuns(scores, by, span.start + n + 1, listOf(row), scratch);
      } else {
        for (let h = 0; h < numHeads; h++) chooseBlocks(scoresOf(h), by, listOf(row * numHeads + h), scratch);
      }
    }
  }
}

/** The logarithm of a sum of no weights: a number that all others are far above. */
const NO_WEIGHTS = -1e30;

/**
 * Softmax over the keys and the sink's logit for one query; the result is still in V's stored space, zeros without any key.
 * decoded: where each key and its value are · logSum: of the weights before they are divided by their sum
 */
function attendOne(
  decoded: readonly Decoded[],
  query: Float64Array,
  keys: readonly number[],
  { valueDim, softcap, valueScale }: AttentionLayer,
  sink: number,
): { readonly values: Float32Array; readonly logSum: number } {
  const scores = productsWith(query, decoded, keys);
  let max = sink;
  for (let at = 0; at < keys.length; at++) {
    const score = softcap > 0 ? softcap * Math.tanh(scores[at]! / softcap) : scores[at]!;
    scores[at] = score;
    if (score > max) max = score;
  }
  let total = max === Number.NEGATIVE_INFINITY ? 0 : Math.exp(sink - max);
  const weights = scores;
  for (let at = 0; at < keys.length; at++) {
    weights[at] = Math.exp(scores[at]! - max);
    total += weights[at]!;
  }
  const acc = weightedSum(weights, decoded, keys, valueDim);
  return {
    values: Float32Array.from(acc, (value) => (total > 0 ? (valueScale * value) / total : 0)),
    logSum: total > 0 ? max + Math.log(total) : NO_WEIGHTS,
  };
}

/** Products of a query with each key. They are added up side by side for four keys, for which a processor need not wait for each addition. */
function productsWith(query: Float64Array, decoded: readonly Decoded[], keys: readonly number[]): Float64Array {
  const d = query.length;
  const products = new Float64Array(keys.length);
  const whole = keys.length - (keys.length % 4);
  for (let at = 0; at < whole; at += 4) {
    const [k0, k1, k2, k3] = [decoded[at]!.k, decoded[at + 1]!.k, decoded[at + 2]!.k, decoded[at + 3]!.k];
    const [from0, from1, from2, from3] = [keys[at]! * d, keys[at + 1]! * d, keys[at + 2]! * d, keys[at + 3]! * d];
    let [sum0, sum1, sum2, sum3] = [0, 0, 0, 0];
    for (let c = 0; c < d; c++) {
      const x = query[c]!;
      sum0 += x * k0[from0 + c]!;
      sum1 += x * k1[from1 + c]!;
      sum2 += x * k2[from2 + c]!;
      sum3 += x * k3[from3 + c]!;
    }
    products[at] = sum0;
    products[at + 1] = sum1;
    products[at + 2] = sum2;
    products[at + 3] = sum3;
  }
  for (let at = whole; at < keys.length; at++) {
    const { k } = decoded[at]!;
    const from = keys[at]! * d;
    let sum = 0;
    for (let c = 0; c < d; c++) sum += query[c]! * k[from + c]!;
    products[at] = sum;
  }
  return products;
}

/** The values by their weights, added in the order of the keys; the sums are read and stored once for four of them. returns: [valueDim] */
function weightedSum(
  weights: Float64Array,
  decoded: readonly Decoded[],
  keys: readonly number[],
  valueDim: number,
): Float64Array {
  const sums = new Float64Array(valueDim);
  const whole = keys.length - (keys.length % 4);
  for (let at = 0; at < whole; at += 4) {
    const [v0, v1, v2, v3] = [decoded[at]!.v, decoded[at + 1]!.v, decoded[at + 2]!.v, decoded[at + 3]!.v];
    const [w0, w1, w2, w3] = [weights[at]!, weights[at + 1]!, weights[at + 2]!, weights[at + 3]!];
    const [from0, from1] = [keys[at]! * valueDim, keys[at + 1]! * valueDim];
    const [from2, from3] = [keys[at + 2]! * valueDim, keys[at + 3]! * valueDim];
    for (let c = 0; c < valueDim; c++) {
      sums[c] = sums[c]! + w0 * v0[from0 + c]! + w1 * v1[from1 + c]! + w2 * v2[from2 + c]! + w3 * v3[from3 + c]!;
    }
  }
  for (let at = whole; at < keys.length; at++) {
    const { v } = decoded[at]!;
    const from = keys[at]! * valueDim;
    for (let c = 0; c < valueDim; c++) sums[c] = sums[c]! + weights[at]! * v[from + c]!;
  }
  return sums;
}
