/** @file Llama 2 and 3, and the many checkpoints with their architecture (TinyLlama, SmolLM2, …). */
import type { Family } from "./family.ts";
import { preNormLayer } from "./pre-norm-layer.ts";

export const llama: Family = {
  modelType: "llama",
  qkNorm: false,
  attentionBias: "configurable",
  slidingWindow: "none",
  defaults: { bosTokenId: 1, eosTokenId: 2, tieWordEmbeddings: false },
  branches: preNormLayer,
};
