/** @file Apertus: norms of the heads of q and k, xIELU without a gate. */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";

export const apertus: Family = {
  modelType: "apertus",
  summary: "norms of the heads of q and k; xIELU without a gate",
  slidingWindow: "none",
  defaults: {
    hiddenAct: "xielu",
    theta: 12_000_000,
    rope: {
      rope_type: "llama3",
      rope_theta: 12_000_000,
      factor: 8,
      original_max_position_embeddings: 8192,
      low_freq_factor: 1,
      high_freq_factor: 4,
    },
    normEps: 1e-5,
    maxPosition: 65_536,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  names: { attentionNorm: "attention_layernorm", feedForwardNorm: "feedforward_layernorm" },
  traits(config) {
    // Feed-forwards have none, whatever `mlp_bias` says.
    const { biases } = configuredBiases(config);
    return { qkNorm: "head", isGated: false, biases: { ...biases, feedForward: false } };
  },
};
