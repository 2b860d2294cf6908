/** @file OLMoE: norms of whole rows of q and k, and a mixture of experts in every layer. */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";
import { expertSizes, MLP_EXPERTS, SOFTMAX_ROUTER, swigluExperts } from "../readers/expert-fields.ts";

export const olmoe: Family = {
  modelType: "olmoe",
  summary: "norms of whole rows of q and k; a mixture of experts: softmax over all",
  slidingWindow: "none",
  defaults: {
    numHeads: 16,
    vocabSize: 50_304,
    maxPosition: 4096,
    normEps: 1e-5,
    eosTokenId: 50_279,
    intermediateSize: 2048,
    tieWordEmbeddings: false,
  },
  traits(config) {
    if (config.has("clip_qkv"))
      throw config.unsupported("clip_qkv", "limits of q, k and v are not supported; expected null");
    return { qkNorm: "row", ...configuredBiases(config) };
  },
  experts(config, sizes) {
    const experts = {
      ...expertSizes(config, { numExperts: 64, topK: 8, width: 2048 }, "intermediate_size"),
      ...swigluExperts(sizes),
      router: { ...SOFTMAX_ROUTER, normalizes: config.boolean("norm_topk_prob", false) },
      names: [MLP_EXPERTS],
    };
    return () => experts;
  },
};
