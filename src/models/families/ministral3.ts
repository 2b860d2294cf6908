/** @file Ministral 3: Mistral with YaRN, and queries that grow with the position from the length of training on. */
import type { Family } from "./family.ts";

export const ministral3: Family = {
  modelType: "ministral3",
  summary: "YaRN; up to the length of training, beyond which queries are scaled by position",
  slidingWindow: "all",
  defaults: {
    slidingWindow: null,
    numKvHeads: 8,
    headDim: 128,
    normEps: 1e-5,
    maxPosition: 262_144,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  // Queries at position p are multiplied by 1 + beta · ln(1 + ⌊p / original⌋), which is 1 before the length of training.
  contextLength(config) {
    const rope = config.object("rope_parameters") ?? config.object("rope_scaling");
    if (!rope || rope.number("llama_4_scaling_beta", 0, 1e3, 0) === 0) return undefined;
    return rope.integer("original_max_position_embeddings", 1, 2 ** 30);
  },
};
