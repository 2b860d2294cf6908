/**
 * @file Chooses bits for each layer and side under a byte budget on one part of a text, and verifies the choice on another.
 *
 * There are two ways to choose: by measurement (the KL divergence caused by one side of one layer at a time, summed up) and by the
 * noise law (K widths that minimise Σ (rms(q) · rms(k))² · D_b, V uniform). Costs need not add up, so both results are then evaluated
 * as a whole, beside uniform widths of the same bytes. The idea of sensitivity by layer is KVTuner's (arXiv 2502.04420).
 */
import type { LLM } from "../engine/llm.ts";
import { assert, TurboQuantError } from "../errors.ts";
import { attentionLayersOf, layoutOf } from "../models/layout.ts";
import type { OnProgress } from "../platform.ts";
import { codecOf } from "../quant/codecs/registry.ts";
import { valuesOfToken } from "../quant/page-layout.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { allocateBits, interpolateCosts } from "./bit-allocation.ts";
import { requireCodesRead } from "./codes-read.ts";
import { diagnoseFormats } from "./diagnose.ts";
import { mean } from "./divergence.ts";
import { checkEvaluation, type EvalRow, evaluateByToken } from "./evaluate.ts";
import { decodersFor } from "./format-decoders.ts";
import { batchStandardError } from "./intervals.ts";
import { type LayerBits, parseRecipe, type Recipe, specOf } from "./layer-spec.ts";
import { requireKv } from "./require-kv.ts";
import { measureSensitivity, type Sensitivity } from "./sensitivity.ts";
import { refuseLatent } from "./tap.ts";
import { textChunks } from "./text-chunks.ts";

export interface AllocateOptions {
  readonly text: string;
  readonly textSource?: string;
  /** A `kNvM` preset; its modifiers apply to every layer. */
  readonly kv: string;
  readonly base?: string;
  /** Budget: average code bits a value; scales come on top. */
  readonly bits: number;
  /** Widths to choose from. Those in `measure` are measured, the others interpolated. */
  readonly widths: readonly number[];
  readonly measure: readonly number[];
  readonly ctx: number;
  /** Chunks used for the sensitivities, from the beginning of the text, and chunks after them for the verification. */
  readonly chunks: number;
  readonly verifyChunks: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: OnProgress;
}

/** How an allocation was found. */
export type Origin = "measured" | "law" | "uniform";

export interface Candidate {
  readonly origin: Origin;
  readonly kv: string;
  readonly layers: readonly LayerBits[];
  /** Average code bits a value. */
  readonly bits: number;
  /** Bytes of codes and scales of one token over all layers. */
  readonly bytesPerToken: number;
  /** Mean KLD if the measured sensitivities added up. */
  readonly kldPredicted: number;
  /** The evaluation of the whole allocation on the verification chunks. */
  readonly row: EvalRow;
}

export interface Allocation {
  /** The budget in code bits a value. */
  readonly bits: number;
  /** Layers that have keys and values, by their numbers in the model; the lists below are of these. */
  readonly attentionLayers: readonly number[];
  readonly sensitivities: readonly Sensitivity[];
  /** RMS noise of an attention logit that the law predicts for each layer's K at the recipe's width. */
  readonly logitNoiseLaw: readonly number[];
  /** The measured one first, then the law's, then uniform ones. */
  readonly candidates: readonly Candidate[];
  /** The candidate with the least mean KLD in the verification. */
  readonly best: Candidate;
  readonly bestUniform: Candidate;
  /** How much lower the best candidate's mean KLD is than that of the best uniform one. */
  readonly gain: Gain;
}

/** A difference of mean KLD in nats, paired token by token, with a standard error by batch means. */
export interface Gain {
  readonly mean: number;
  readonly standardError: number;
}

/** Uniform candidates whose K and V widths differ by more than this are not compared. */
const UNIFORM_SPREAD = 2;

/** @throws TurboQuantError as `checkAllocation`, or invalid_argument — a text too short for both parts */
export async function allocate(llm: LLM, options: AllocateOptions): Promise<Allocation> {
  const { kv, base = "f16", widths, measure, ctx, chunks, verifyChunks, signal, onProgress } = options;
  const recipe = parseRecipe(kv);
  checkAllocation(llm, options);
  const attentionLayers = attentionLayersOf(layoutOf(llm.config));
  const pieces = textChunks(llm.tokenizer, options.text, ctx, chunks + verifyChunks);
  if (pieces.length <= chunks) {
    throw new TurboQuantError(
      "invalid_argument",
      `allocate: the text has ${pieces.length} chunks of ${ctx} tokens; expected more than ${chunks}, as the verification takes those after them; pass a longer --text, or smaller --ctx or --chunks`,
      { chunks: pieces.length, ctx },
    );
  }
  const sizes = layerSizes(llm);
  const budget = options.bits * sum(sizes.flatMap(({ k, v }) => [k, v]));
  const sensitivities = await measureSensitivity(llm, pieces.slice(0, chunks), {
    base,
    recipe,
    bits: measure,
    signal,
    onProgress,
  });
  const law = await layerNoise(llm, pieces[0]!, recipe, signal);
  const distortion = (width: number): number => {
    const side = parseKvSpec(`${kv},v=tq${width}`).forLayer(0).v;
    const expected = codecOf(side).distortionOf?.(side, llm.cache.layers[0]!.main.headDim);
    assert(expected != null, "codes of every width have a distortion");
    return expected;
  };
  const costs = costsOf(sensitivities, attentionLayers, widths, distortion);
  const found = [
    {
      origin: "measured" as const,
      layers: toLayers(
        allocateBits(
          costs.flat(),
          widths,
          budget,
          sizes.flatMap(({ k, v }) => [k, v]),
        ),
        widths,
      ),
    },
    ...byLaw(law, widths, budget, distortion, sizes),
    ...uniforms(sizes, widths, budget),
  ];
  const textOf = (layers: readonly LayerBits[]): string =>
    specOf(recipe, ofAllLayers(layers, attentionLayers, llm.config.numLayers));
  // Two ways may find the same allocation; the first keeps it.
  const unique = found.filter(
    (one, i) =>
      found.findIndex((other) => textOf(other.layers) === textOf(one.layers)) === i || one.origin === "uniform",
  );
  const specs = unique.map(({ layers }) => textOf(layers));
  const measured = await evaluateByToken(llm, {
    text: options.text,
    ...(options.textSource !== undefined && { textSource: options.textSource }),
    kv: specs,
    base,
    ctx,
    chunks: verifyChunks,
    skipChunks: chunks,
    ...(signal && { signal }),
    ...(onProgress && { onProgress }),
  });
  const candidates = unique.map(
    ({ origin, layers }, i): Candidate => ({
      origin,
      kv: specs[i]!,
      layers,
      bits: totalBits(layers, sizes) / sum(sizes.flatMap(({ k, v }) => [k, v])),
      bytesPerToken: bytesPerToken(llm, layers),
      kldPredicted: layers.reduce(
        (sum, { k, v }, layer) => sum + costs[layer]![0]![widths.indexOf(k)]! + costs[layer]![1]![widths.indexOf(v)]!,
        0,
      ),
      row: measured[i]!.row,
    }),
  );
  const least = (of: readonly Candidate[]): Candidate => of.reduce((a, b) => (b.row.kldMean < a.row.kldMean ? b : a));
  const best = least(candidates);
  const bestUniform = least(candidates.filter(({ origin }) => origin === "uniform"));
  const kldsOf = (candidate: Candidate): readonly number[] => measured[candidates.indexOf(candidate)]!.klds;
  return {
    bits: options.bits,
    attentionLayers,
    sensitivities,
    logitNoiseLaw: law.map(({ noise }) => noise),
    candidates,
    best,
    bestUniform,
    gain: pairedGain(kldsOf(bestUniform), kldsOf(best)),
  };
}

/** Mean of the differences token by token. Most of the spread of both is that of the text, and cancels. */
function pairedGain(uniform: readonly number[], own: readonly number[]): Gain {
  const differences = uniform.map((kld, i) => kld - own[i]!);
  return { mean: mean(differences), standardError: batchStandardError(differences) };
}

/** Code bits a value for which codes and scales of one token, over all layers, take that many bytes. */
export function bitsForBytes({ cache }: LLM, bytes: number): number {
  const scales = sum(cache.layers.map(({ main, tokensPerRow }) => (2 * main.numKvHeads * SCALE_BYTES) / tokensPerRow));
  return (8 * (bytes - scales)) / sum(cache.layers.map(({ main, tokensPerRow }) => valuesOfToken(main) / tokensPerRow));
}

const SCALE_BYTES = 2;

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

function bytesPerToken({ cache }: LLM, layers: readonly LayerBits[]): number {
  const bytes = cache.layers.map(({ main: { numKvHeads, headDim, valueDim }, tokensPerRow }, layer) => {
    const { k, v } = layers[layer]!;
    return (numKvHeads * ((k * headDim + v * valueDim) / 8 + 2 * SCALE_BYTES)) / tokensPerRow;
  });
  return sum(bytes);
}

/** How many numbers of a token K and V of a layer have. */
interface LayerSizes {
  readonly k: number;
  readonly v: number;
}

/** Of each layer, in the largest unit in which all are whole. */
function layerSizes({ cache }: LLM): LayerSizes[] {
  // Rows that several tokens share count for each of them in part.
  const rows = [...new Set(cache.layers.map(({ tokensPerRow }) => tokensPerRow))].reduce((a, b) => a * b, 1);
  const all = cache.layers.map(({ main: { numKvHeads, headDim, valueDim }, tokensPerRow }) => ({
    k: (numKvHeads * headDim * rows) / tokensPerRow,
    v: (numKvHeads * valueDim * rows) / tokensPerRow,
  }));
  const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));
  const unit = all.flatMap(({ k, v }) => [k, v]).reduce(divisor, 0);
  return all.map(({ k, v }) => ({ k: k / unit, v: v / unit }));
}

const totalBits = (layers: readonly LayerBits[], sizes: readonly LayerSizes[]): number =>
  sum(layers.map(({ k, v }, layer) => k * sizes[layer]!.k + v * sizes[layer]!.v));

/**
 * What of an allocation can be judged without its text, so that none has to be written first.
 * @throws TurboQuantError invalid_argument — widths that are none, a budget outside of them, a ctx beyond the model's or so short that hardly
 * any code is read; unsupported — a model without keys and values of heads
 */
export function checkAllocation(llm: LLM, options: Omit<AllocateOptions, "text" | "chunks" | "verifyChunks">): void {
  const { kv, ctx } = options;
  checkWidths(options);
  requireKv(llm, "allocate");
  refuseLatent(llm);
  checkEvaluation(llm, options);
  requireCodesRead(llm, "allocate", [kv], { ctx, context: llm.config.maxPositionEmbeddings });
}

function checkWidths({ widths, measure, bits }: Pick<AllocateOptions, "widths" | "measure" | "bits">): void {
  const isAscending = widths.every((width, i) => width >= 1 && width <= 8 && (i === 0 || width > widths[i - 1]!));
  if (widths.length === 0 || !isAscending || measure.length === 0 || !measure.every((bits) => bits >= 1 && bits <= 8)) {
    throw new TurboQuantError(
      "invalid_argument",
      `allocate: widths: expected 1 to 8 bits in ascending order and at least one measured, got ${widths} and ${measure}`,
      { widths, measure },
    );
  }
  const [smallest, largest] = [widths[0]!, widths.at(-1)!];
  if (!(bits >= smallest && bits <= largest)) {
    throw new TurboQuantError(
      "invalid_argument",
      `allocate: expected a budget of ${smallest} to ${largest} bits a value, the widths to choose from, got ${Number(bits.toFixed(3))}; change --bits, --bytes or --widths`,
      { bits, smallest, largest },
    );
  }
}

/** Widths of all layers of a model: those without keys and values take the widths before them, which makes ranges of them. */
function ofAllLayers(layers: readonly LayerBits[], attentionLayers: readonly number[], numLayers: number): LayerBits[] {
  let own = 0;
  return Array.from({ length: numLayers }, (_, layer) => {
    if (attentionLayers[own + 1] === layer) own++;
    return layers[own]!;
  });
}

/** Costs by [layer][K, V][width], interpolated from the measured ones. */
function costsOf(
  sensitivities: readonly Sensitivity[],
  layers: readonly number[],
  widths: readonly number[],
  distortion: (width: number) => number,
): number[][][] {
  return layers.map((layer) =>
    (["k", "v"] as const).map((side) => {
      const own = sensitivities.filter((s) => s.layer === layer && s.side === side);
      return interpolateCosts(new Map(own.map((s) => [s.bits, s.kldMean])), widths, distortion);
    }),
  );
}

/** choices: indices into `widths`, for K and V of each layer in turn */
function toLayers(choices: readonly number[], widths: readonly number[]): LayerBits[] {
  return Array.from({ length: choices.length / 2 }, (_, layer) => ({
    k: widths[choices[2 * layer]!]!,
    v: widths[choices[2 * layer + 1]!]!,
  }));
}

interface LayerNoise {
  /** (rms(q) · rms(k) · scale)² · head_dim, and the noise that the law predicts at the recipe's width. */
  readonly product: number;
  readonly noise: number;
}

async function layerNoise(llm: LLM, piece: Int32Array, recipe: Recipe, signal?: AbortSignal): Promise<LayerNoise[]> {
  const uniform = Array.from({ length: llm.config.numLayers }, () => recipe.bits);
  const decoders = await decodersFor(llm, [specOf(recipe, uniform)]);
  try {
    const [layers] = await diagnoseFormats(llm, piece, decoders, signal);
    return layers!.map(({ rmsQ, rmsK, logitNoiseLaw }, index) => {
      const { scale, headDim } = llm.decoder.attentionLayer(index);
      return { product: (rmsQ * rmsK * scale) ** 2 * headDim, noise: logitNoiseLaw! };
    });
  } finally {
    for (const decoder of decoders) decoder.dispose();
  }
}

/** V gets the width nearest to the mean of the budget, and the law distributes the rest over K. Empty when no such split fits. */
function byLaw(
  law: readonly LayerNoise[],
  widths: readonly number[],
  budget: number,
  distortion: (width: number) => number,
  sizes: readonly LayerSizes[],
): { origin: "law"; layers: LayerBits[] }[] {
  const [ofKeys, ofValues] = [sizes.map(({ k }) => k), sizes.map(({ v }) => v)];
  const mean = budget / sum([...ofKeys, ...ofValues]);
  const v = widths.findLast((width) => width <= mean);
  if (v === undefined) return [];
  const costs = law.map(({ product }) => widths.map((width) => product * distortion(width)));
  const choices = allocateBits(costs, widths, budget - v * sum(ofValues), ofKeys);
  return [{ origin: "law", layers: choices.map((choice) => ({ k: widths[choice]!, v })) }];
}

/** Pairs of K and V widths, the same in every layer, that come as close to the budget as pairs can. */
function uniforms(
  sizes: readonly LayerSizes[],
  widths: readonly number[],
  budget: number,
): { origin: "uniform"; layers: LayerBits[] }[] {
  const pairs = widths
    .flatMap((k) => widths.map((v) => ({ k, v })))
    .filter(({ k, v }) => Math.abs(k - v) <= UNIFORM_SPREAD)
    .map((pair) => ({ origin: "uniform" as const, layers: sizes.map(() => pair) }))
    .filter(({ layers }) => totalBits(layers, sizes) <= budget + 1e-9);
  const most = Math.max(...pairs.map(({ layers }) => totalBits(layers, sizes)));
  return pairs.filter(({ layers }) => totalBits(layers, sizes) === most);
}
