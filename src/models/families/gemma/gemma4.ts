/** @file Gemma 4: longer heads in layers that attend to everything, layers that read another one's keys and values, inputs of their own for each layer. */

import type { ExpertTraits } from "../../blocks/expert-feed-forward.ts";
import type { ExpertNames } from "../../blocks/expert-tensors.ts";
import type { ConfigFields } from "../../config-fields.ts";
import { MAX_POSITION } from "../../config-fields.ts";
import type { LayerAttention } from "../../model-config.ts";
import type { Family, LayerContext } from "../family.ts";
import { expertSizes, MLP_EXPERTS, SOFTMAX_ROUTER, swigluExperts } from "../readers/expert-fields.ts";
import { gemma } from "./gemma.ts";
import { GEMMA2_NAMES } from "./gemma2.ts";

const MAX_WIDTH = 2 ** 20;
const MAX_HEADS = 4096;
const CONTEXT = 131_072;

/** Number of the last layers, which have no keys and values of their own. */
const numShared = (config: ConfigFields, numLayers: number, otherwise = 0): number =>
  config.integer("num_kv_shared_layers", 0, numLayers - 1, otherwise);

/**
 * The last layer before those that share, of the same kind as this one; null for a layer with keys and values of its own. otherwise: the number of
 * those that share in a config that does not say it
 */
export function sharedWith(
  config: ConfigFields,
  layer: number,
  { numLayers, slidingWindow }: LayerContext,
  otherwise = 0,
): number | null {
  const first = numLayers - numShared(config, numLayers, otherwise);
  if (layer < first) return null;
  for (let source = first - 1; source >= 0; source--) {
    if (slidingWindow(source) > 0 === slidingWindow(layer) > 0) return source;
  }
  throw config.invalid("num_kv_shared_layers", `fewer, as no layer before them is of the kind of layer ${layer}`);
}

/** Heads of a layer: by its number in `per_layer_config`, or for all layers that attend to everything by fields of their own. */
function headsOf(config: ConfigFields, layer: number, attendsToAll: boolean): Partial<LayerAttention> {
  const numHeads = config.integer("num_attention_heads", 1, MAX_HEADS, 8);
  const byLayer = config.object("per_layer_config");
  if (!byLayer) {
    if (!attendsToAll) return {};
    const headDim = config.integer("global_head_dim", 1, MAX_WIDTH, 512);
    const isOwn = config.boolean("attention_k_eq_v", false) && config.has("num_global_key_value_heads");
    return isOwn ? { headDim, numKvHeads: config.integer("num_global_key_value_heads", 1, numHeads) } : { headDim };
  }
  const own = byLayer.object(`${layer}`);
  if (!own) return {};
  const unknown = own.names().find((name) => name !== "head_dim" && name !== "num_key_value_heads");
  if (unknown !== undefined)
    throw own.unsupported(unknown, "expected head_dim and num_key_value_heads alone to differ by layer");
  return {
    ...(own.has("head_dim") && { headDim: own.integer("head_dim", 1, MAX_WIDTH) }),
    ...(own.has("num_key_value_heads") && { numKvHeads: own.integer("num_key_value_heads", 1, numHeads) }),
  };
}

function perLayerInputs(config: ConfigFields) {
  const width =
    config.mentions("hidden_size_per_layer_input") && !config.has("hidden_size_per_layer_input")
      ? 0
      : config.integer("hidden_size_per_layer_input", 0, MAX_WIDTH, 256);
  if (width === 0) return null;
  return { width, vocabSize: config.integer("vocab_size_per_layer_input", 1, 2 ** 24, 262_144) };
}

const EXPERT_NAMES: ExpertNames = {
  ...MLP_EXPERTS,
  router: "router.proj",
  expertScales: "router.per_expert_scale",
  experts: "experts",
  stacked: { gateUp: "experts.gate_up_proj", down: "experts.down_proj" },
};

const BESIDE = {
  norm: "pre_feedforward_layernorm_2",
  postNorm: "post_feedforward_layernorm_2",
  densePostNorm: "post_feedforward_layernorm_1",
};

export const gemma4: Family = {
  ...gemma,
  activationField: "hidden_activation",
  modelType: "gemma4_text",
  summary:
    "Gemma 3 with longer heads, other KV heads or values that are keys in layers without a window; layers that read another one's keys and values; norms of v; inputs of their own and a factor for each layer; perhaps a mixture beside each feed-forward",
  slidingWindow: "pattern",
  defaults: {
    ...gemma.defaults,
    numHeads: 8,
    numKvHeads: 4,
    headDim: 256,
    vocabSize: 262_144,
    intermediateSize: 9216,
    maxPosition: CONTEXT,
    slidingWindow: 512,
    windowPattern: 6,
    lastAttendsToAll: true,
    theta: 1e6,
    slidingTheta: 1e4,
    proportionalRope: 0.25,
  },
  contextLength: (config) => config.integer("max_position_embeddings", 1, MAX_POSITION, CONTEXT),
  names: GEMMA2_NAMES,
  fields: { num_experts_per_tok: "top_k_experts" },
  attentionOf(config, layer, at) {
    const attendsToAll = at.slidingWindow(layer) === 0;
    return {
      ...headsOf(config, layer, attendsToAll),
      valuesAreKeys: attendsToAll && config.boolean("attention_k_eq_v", false),
      sharedWith: sharedWith(config, layer, at),
    };
  },
  intermediateOf(config, layer, intermediateSize) {
    const numLayers = config.integer("num_hidden_layers", 1, 1024);
    const isShared = layer >= numLayers - numShared(config, numLayers);
    return isShared && config.boolean("use_double_wide_mlp", false) ? 2 * intermediateSize : intermediateSize;
  },
  experts(config, sizes) {
    if (!config.boolean("enable_moe_block", false)) return () => null;
    const hiddenSize = config.integer("hidden_size", 1, MAX_WIDTH);
    const traits: ExpertTraits = {
      ...expertSizes(config),
      ...swigluExperts(sizes),
      router: { ...SOFTMAX_ROUTER, normalizes: true },
      names: [EXPERT_NAMES],
      stack: { isTransposed: false, isInterleaved: false, isUsual: true },
      beside: { ...BESIDE, routerNorm: { name: "router.scale", scale: 1 / Math.sqrt(hiddenSize) } },
    };
    return () => traits;
  },
  traits(config) {
    if (config.raw("use_bidirectional_attention") === "all")
      throw config.unsupported(
        "use_bidirectional_attention",
        "expected a decoder, whose tokens attend to earlier ones",
      );
    const bias = config.boolean("attention_bias", false);
    return {
      biases: { qkv: bias, output: bias, feedForward: false, norm: false, head: false },
      norms: "around",
      qkNorm: "head",
      valueNorm: true,
      attentionScale: 1,
      embeddingScale: Math.sqrt(config.integer("hidden_size", 1, MAX_WIDTH)),
      logitSoftcap: config.number("final_logit_softcapping", 0, 1e6, 0),
      perLayerInputs: perLayerInputs(config),
      layerFactor: true,
    };
  },
};

/** Without inputs of layers, as the encoder-free multimodal ones are. */
export const gemma4Unified: Family = {
  ...gemma4,
  modelType: "gemma4_unified_text",
  summary: "Gemma 4 without inputs of layers",
  defaults: { ...gemma4.defaults, slidingWindow: 1024 },
  traits: (config) => ({ ...gemma4.traits?.(config), perLayerInputs: null }),
};
