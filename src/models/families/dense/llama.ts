/** @file Llama 2 and 3, and the many checkpoints with their architecture (TinyLlama, SmolLM2, …). */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";

export const llama: Family = {
  modelType: "llama",
  summary: "–",
  slidingWindow: "none",
  defaults: { bosTokenId: 1, eosTokenId: 2, tieWordEmbeddings: false },
  traits: (config) => configuredBiases(config),
};
