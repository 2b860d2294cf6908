/** @file LFM2: gated short convolutions in most layers, attention with norms of the heads of q and k in the others. */
import { MAX_KERNEL } from "../../../backends/state-ops.ts";
import { shortConvolution } from "../../blocks/short-convolution.ts";
import type { ConfigFields } from "../../config-fields.ts";
import type { Family } from "../family.ts";

const MAX_WIDTH = 2 ** 20;

/** Which layers have attention: by `layer_types`, or in older files by their numbers. */
function attentionLayers(config: ConfigFields, numLayers: number): ReadonlySet<number> {
  const types = config.raw("layer_types");
  const numbers = config.raw("full_attn_idxs");
  const all = Array.from({ length: numLayers }, (_, layer) => layer);
  if (types !== undefined) {
    const isSound = Array.isArray(types) && types.every((type) => type === "conv" || type === "full_attention");
    if (!isSound || types.length !== numLayers)
      throw config.invalid("layer_types", `a list of ${numLayers} of conv and full_attention, one a layer`);
    return new Set(all.filter((layer) => types[layer] === "full_attention"));
  }
  if (numbers === undefined) return new Set(all);
  if (!Array.isArray(numbers) || !numbers.every((number) => all.includes(number)))
    throw config.invalid("full_attn_idxs", `a list of numbers of layers, below ${numLayers}`);
  return new Set(numbers);
}

export const lfm2: Family = {
  modelType: "lfm2",
  summary: "gated short convolutions in place of attention in most layers; norms of the heads of q and k",
  slidingWindow: "none",
  defaults: {
    numHeads: 32,
    numKvHeads: 8,
    vocabSize: 65_536,
    maxPosition: 128_000,
    theta: 1e6,
    normEps: 1e-5,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: true,
  },
  normEpsField: "norm_eps",
  fields: { tie_word_embeddings: "tie_embedding" },
  names: {
    finalNorm: "model.embedding_norm",
    attentionNorm: "operator_norm",
    qNorm: "self_attn.q_layernorm",
    kNorm: "self_attn.k_layernorm",
    output: "self_attn.out_proj",
    feedForwardNorm: "ffn_norm",
    gate: "feed_forward.w1",
    up: "feed_forward.w3",
    down: "feed_forward.w2",
  },
  // Two thirds of what the config says, times a factor, rounded up: as Llama 2's code derives it.
  intermediateSize(config) {
    const size = config.integer(
      config.has("block_ff_dim") ? "block_ff_dim" : "intermediate_size",
      1,
      MAX_WIDTH,
      12_288,
    );
    if (!config.boolean("block_auto_adjust_ff_dim", true)) return size;
    const multiple = config.integer("block_multiple_of", 1, MAX_WIDTH, 256);
    const adjusted = Math.floor(config.number("block_ffn_dim_multiplier", 0, 1e3, 1) * Math.floor((2 * size) / 3));
    return multiple * Math.ceil(adjusted / multiple);
  },
  traits: () => ({ qkNorm: "head" }),
  mixer(config, { hiddenSize, numLayers }) {
    const attention = attentionLayers(config, numLayers);
    const kernel = config.integer("conv_L_cache", 2, MAX_KERNEL, 3);
    const isBiased = config.boolean("conv_bias", false);
    return (layer, prefix) =>
      attention.has(layer) ? null : shortConvolution(`${prefix}conv.`, { hiddenSize, kernel, isBiased });
  },
};
