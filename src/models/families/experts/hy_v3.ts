/** @file Hunyuan 3: norms of the heads of q and k, sigmoid with a bias for the choice, a shared expert, a dense first layer. */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";
import {
  expertSizes,
  isSparseByType,
  MLP_EXPERTS,
  SOFTMAX_ROUTER,
  sharedExperts,
  swigluExperts,
} from "../readers/expert-fields.ts";

export const hyV3: Family = {
  modelType: "hy_v3",
  summary:
    "norms of the heads of q and k; a mixture of experts: sigmoid with a bias for the choice, a shared expert; a dense first layer",
  slidingWindow: "none",
  defaults: {
    numHeads: 64,
    numKvHeads: 8,
    headDim: 128,
    vocabSize: 120_832,
    maxPosition: 131_072,
    theta: 11_158_840,
    normEps: 1e-5,
    intermediateSize: 13_312,
    tieWordEmbeddings: false,
  },
  traits(config) {
    if (config.boolean("mlp_bias", false))
      throw config.unsupported("mlp_bias", "biases beside a mixture of experts are not supported; expected false");
    return { qkNorm: "head", ...configuredBiases(config) };
  },
  experts(config, sizes) {
    const isSparse = isSparseByType(config, sizes.numLayers, 1);
    const own = expertSizes(config, { numExperts: 192, topK: 8, width: 1536 });
    const experts = {
      ...own,
      ...swigluExperts(sizes),
      router: {
        ...SOFTMAX_ROUTER,
        score: "sigmoid" as const,
        normalizes: true,
        epsilon: 1e-20,
        scale: config.number("router_scaling_factor", 0, 1e6, 2.826),
      },
      shared: sharedExperts(config, own.width, 1, "mlp.shared_mlp"),
      names: [
        { ...MLP_EXPERTS, router: "mlp.router.gate", choiceBias: ["mlp.expert_bias", "mlp.e_score_correction_bias"] },
        MLP_EXPERTS,
      ],
    };
    return (layer) => (isSparse(layer) ? experts : null);
  },
};
