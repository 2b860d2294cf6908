/** @file Gemma 3n: several residual streams, a learned residual beside attention, sparse gates, inputs of their own for each layer, shared keys and values. */

import { MAX_STREAMS } from "../../../backends/stream-mix.ts";
import { normalQuantile } from "../../../math/normal.ts";
import { alternatingStreams } from "../../blocks/alternating-updates.ts";
import type { ConfigFields } from "../../config-fields.ts";
import { MAX_POSITION } from "../../config-fields.ts";
import type { Family } from "../family.ts";
import { gemma } from "./gemma.ts";
import { GEMMA2_NAMES } from "./gemma2.ts";
import { sharedWith } from "./gemma4.ts";

const MAX_WIDTH = 2 ** 20;
const MAX_LAYERS = 1024;
const CONTEXT = 32_768;
const INTERMEDIATE = 16_384;
/** The last layers that share, and the first ones with sparse gates, of a config that does not say. */
const SHARED = 15;
const SPARSE = 10;
const SPARSITY = 0.95;
const MAX_SPARSITY = 1 - 1e-9;

const numLayersOf = (config: ConfigFields): number => config.integer("num_hidden_layers", 1, MAX_LAYERS, 35);

/** A number for each layer, or one for all. */
function widthsOf(config: ConfigFields): readonly number[] {
  const numLayers = numLayersOf(config);
  const widths = config.raw("intermediate_size");
  if (!Array.isArray(widths))
    return Array<number>(numLayers).fill(config.integer("intermediate_size", 1, MAX_WIDTH, INTERMEDIATE));
  if (widths.length !== numLayers || !widths.every((size) => Number.isInteger(size) && size >= 1 && size <= MAX_WIDTH))
    throw config.invalid("intermediate_size", `a whole number, or a list of ${numLayers}, one a layer`);
  return widths;
}

/**
 * Deviations above the mean that so many of the values of a normal distribution are below. `activation_sparsity_cutoffs` is no field of
 * published configs: GGUF files have these numbers.
 */
function cutoffsOf(config: ConfigFields): readonly (number | null)[] | null {
  const numLayers = numLayersOf(config);
  const cutoffs = config.raw("activation_sparsity_cutoffs");
  if (Array.isArray(cutoffs) && cutoffs.length === numLayers) return cutoffs;
  const field = "activation_sparsity_pattern";
  const usual = (layer: number): number => (numLayers > SPARSE && layer < SPARSE ? SPARSITY : 0);
  const pattern = config.raw(field) ?? Array.from({ length: numLayers }, (_, layer) => usual(layer));
  const isSparsity = (value: unknown): boolean => typeof value === "number" && value >= 0 && value <= MAX_SPARSITY;
  if (!Array.isArray(pattern) || pattern.length !== numLayers || !pattern.every(isSparsity))
    throw config.invalid(field, `a list of ${numLayers} numbers from 0 to below 1, one a layer`);
  return (pattern as readonly number[]).map((sparsity) => (sparsity > 0 ? normalQuantile(sparsity) : null));
}

export const gemma3n: Family = {
  ...gemma,
  activationField: "hidden_activation",
  modelType: "gemma3n_text",
  summary:
    "Gemma 3 with several residual streams (AltUp), a learned residual beside attention (LAuReL), sparse gates, inputs of their own for each layer, layers that read another one's keys and values, and norms of v",
  slidingWindow: "pattern",
  defaults: {
    ...gemma.defaults,
    numHeads: 8,
    numKvHeads: 2,
    headDim: 256,
    vocabSize: 262_400,
    intermediateSize: INTERMEDIATE,
    maxPosition: CONTEXT,
    slidingWindow: 512,
    windowPattern: 5,
    theta: 1e6,
    slidingTheta: 1e4,
  },
  numLayers: numLayersOf,
  contextLength: (config) => config.integer("max_position_embeddings", 1, MAX_POSITION, CONTEXT),
  names: GEMMA2_NAMES,
  attentionOf: (config, layer, at) => ({ sharedWith: sharedWith(config, layer, at, SHARED) }),
  intermediateSize: (config) => Math.max(...widthsOf(config)),
  intermediateOf: (config, layer) => widthsOf(config)[layer]!,
  assemble:
    () =>
    ({ hiddenSize, traits }) => ({
      streams: alternatingStreams(hiddenSize, traits.alternatingUpdates!.count),
    }),
  traits(config) {
    if (config.boolean("use_bidirectional_attention", false))
      throw config.unsupported(
        "use_bidirectional_attention",
        "expected a decoder, whose tokens attend to earlier ones",
      );
    const bias = config.boolean("attention_bias", false);
    const count = config.integer("altup_num_inputs", 2, MAX_STREAMS, 4);
    const isUncapped = config.mentions("final_logit_softcapping") && !config.has("final_logit_softcapping");
    return {
      biases: { qkv: bias, output: bias, feedForward: false, norm: false, head: false },
      norms: "around",
      qkNorm: "head",
      valueNorm: true,
      attentionScale: 1,
      embeddingScale: Math.sqrt(config.integer("hidden_size", 1, MAX_WIDTH)),
      logitSoftcap: isUncapped ? 0 : config.number("final_logit_softcapping", 0, 1e6, 30),
      perLayerInputs: {
        width: config.integer("hidden_size_per_layer_input", 2, MAX_WIDTH, 256),
        vocabSize: config.integer("vocab_size_per_layer_input", 1, 2 ** 24, 262_144),
      },
      alternatingUpdates: {
        count,
        active: config.integer("altup_active_idx", 0, count - 1, 0),
        scalesCorrected: config.boolean("altup_correct_scale", true),
      },
      learnedResidualRank: config.integer("laurel_rank", 2, MAX_WIDTH, 64),
      gateCutoffs: cutoffsOf(config),
    };
  },
};
