/** @file Mixtral: Mistral with a mixture of experts in every layer. */

import type { Family } from "../family.ts";
import {
  BLOCK_SPARSE_EXPERTS,
  expertSizes,
  MLP_EXPERTS,
  SOFTMAX_ROUTER,
  swigluExperts,
} from "../readers/expert-fields.ts";

export const mixtral: Family = {
  modelType: "mixtral",
  summary: "a mixture of experts: softmax, over those chosen; sliding window on all layers",
  slidingWindow: "all",
  defaults: {
    slidingWindow: null,
    numHeads: 32,
    numKvHeads: 8,
    vocabSize: 32_000,
    maxPosition: 131_072,
    theta: 1e6,
    normEps: 1e-5,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  experts(config, sizes) {
    const experts = {
      ...expertSizes(config, { numExperts: 8, topK: 2 }, "intermediate_size"),
      ...swigluExperts(sizes),
      router: { ...SOFTMAX_ROUTER, normalizes: true },
      names: [BLOCK_SPARSE_EXPERTS, MLP_EXPERTS],
    };
    return () => experts;
  },
};
