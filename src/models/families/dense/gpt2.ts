/** @file GPT-2: learned positions, LayerNorm, GELU without a gate, biases throughout, q, k and v in one tensor, matrices stored as [in][out]. */
import type { ConfigFields } from "../../config-fields.ts";
import type { Traits } from "../../traits.ts";
import { denseLayer } from "../dense-layer.ts";
import type { Family } from "../family.ts";

/** Softmax scale of all layers, where none is divided by its number. */
function attentionScale(config: ConfigFields): number | null {
  return config.boolean("scale_attn_weights", true) ? null : 1;
}

/** Rows of the feed-forward, unless the config says another number. */
export const fourTimesHidden = (config: ConfigFields): number =>
  config.integer("intermediate_size", 1, 2 ** 20, 4 * config.integer("hidden_size", 1, 2 ** 18));

export function gpt2Traits(config: ConfigFields): Partial<Traits> {
  if (config.boolean("add_cross_attention", false))
    throw config.unsupported("add_cross_attention", "expected a decoder without an encoder");
  return {
    learnedPositions: true,
    norm: "layer",
    isGated: false,
    fusedQkv: "rows",
    attentionScale: attentionScale(config),
    biases: { qkv: true, output: true, feedForward: true, norm: true, head: false },
  };
}

export const gpt2: Family = {
  modelType: "gpt2",
  summary: "learned positions; LayerNorm; biases throughout; GELU without a gate; fused q, k, v; matrices as [in][out]",
  slidingWindow: "none",
  hasOwnKvHeads: false,
  fields: {
    hidden_size: "n_embd",
    num_hidden_layers: "n_layer",
    num_attention_heads: "n_head",
    max_position_embeddings: "n_positions",
    intermediate_size: "n_inner",
  },
  activationField: "activation_function",
  normEpsField: "layer_norm_epsilon",
  intermediateSize: fourTimesHidden,
  hasRope: () => false,
  defaults: {
    numHeads: 12,
    vocabSize: 50_257,
    hiddenAct: "gelu_new",
    normEps: 1e-5,
    maxPosition: 1024,
    bosTokenId: 50_256,
    eosTokenId: 50_256,
    tieWordEmbeddings: true,
  },
  names: {
    embedding: "transformer.wte",
    positions: "transformer.wpe",
    finalNorm: "transformer.ln_f",
    layers: "transformer.h.",
    attentionNorm: "ln_1",
    qkv: "attn.c_attn",
    output: "attn.c_proj",
    feedForwardNorm: "ln_2",
    up: "mlp.c_fc",
    down: "mlp.c_proj",
  },
  traits: (config) => ({
    ...gpt2Traits(config),
    // No field of its own: GGUF files say false, as they have matrices as others have them.
    transposes: config.boolean("transposed_weights", true),
    scalesByLayer: config.boolean("scale_attn_by_inverse_layer_idx", false),
  }),
  branches(config, layer) {
    const { traits, headDim } = config;
    if (!traits.scalesByLayer) return denseLayer(config, layer);
    const scale = (traits.attentionScale ?? 1 / Math.sqrt(headDim)) / (layer + 1);
    return denseLayer({ ...config, traits: { ...traits, attentionScale: scale } }, layer);
  },
};
