/** @file Ministral 3: Mistral with YaRN, and queries that grow with the position from the length of training on. */
import type { Family } from "./family.ts";

export const ministral3: Family = {
  modelType: "ministral3",
  summary: "YaRN; queries grow with their position beyond the length of training",
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
  queryGrowth(config) {
    const rope = config.object("rope_parameters") ?? config.object("rope_scaling");
    const beta = rope?.number("llama_4_scaling_beta", 0, 1e3, 0) ?? 0;
    if (beta === 0) return undefined;
    return { beta, length: rope!.integer("original_max_position_embeddings", 1, 2 ** 30), offset: 0 };
  },
};
