/** @file Mamba-2: a mixer a layer and nothing else; no attention, and nothing that grows with a sequence. */
import { stateSpace } from "../../blocks/state-space.ts";
import type { Family } from "../family.ts";
import { expanded, type MambaFields, parseStateSpace } from "../readers/mamba-fields.ts";

const FIELDS: MambaFields = {
  heads: ["num_heads", 128],
  headDim: ["head_dim", 64],
  groups: ["n_groups", 8],
  stateSize: ["state_size", 128],
  kernel: "conv_kernel",
  convolutionBias: "use_conv_bias",
  projectionBias: "use_bias",
  activation: "hidden_act",
};

export const mamba2: Family = {
  modelType: "mamba2",
  summary: "Mamba-2 alone, without attention and feed-forwards",
  slidingWindow: "none",
  hasAttention: false,
  defaults: {
    vocabSize: 32_768,
    // Nothing in it knows positions.
    maxPosition: 2 ** 20,
    normEps: 1e-5,
    bosTokenId: 0,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  normEpsField: "layer_norm_epsilon",
  names: {
    embedding: "backbone.embeddings",
    finalNorm: "backbone.norm_f",
    layers: "backbone.layers.",
    attentionNorm: "norm",
  },
  intermediateSize: () => 0,
  traits: () => ({ hasFeedForward: false }),
  mixer(config, context) {
    const shape = parseStateSpace(config, context, FIELDS, expanded(config, context.hiddenSize, "expand"));
    return (_, prefix) => stateSpace(`${prefix}mixer.`, shape);
  },
};
