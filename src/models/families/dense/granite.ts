/** @file Granite 3 and 4, dense: factors of embeddings, of what blocks add, of attention and of logits. */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";

export const granite: Family = {
  modelType: "granite",
  summary: "factors of embeddings, attention, residuals and logits",
  slidingWindow: "none",
  defaults: { maxPosition: 2048, bosTokenId: 1, eosTokenId: 2, tieWordEmbeddings: false },
  traits: (config) => {
    const factor = (name: string): number => config.number(name, 1e-6, 1e6, 1);
    return {
      ...configuredBiases(config),
      embeddingScale: factor("embedding_multiplier"),
      residualScale: factor("residual_multiplier"),
      attentionScale: factor("attention_multiplier"),
      logitScale: 1 / factor("logits_scaling"),
    };
  },
};
