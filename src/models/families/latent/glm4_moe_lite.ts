/** @file GLM 4.7 Flash: DeepSeek-V3 with a list of layers that have experts. */

import type { Family } from "../family.ts";
import { deepseekExperts, isSparseByType } from "../readers/expert-fields.ts";
import { deepseekV3 } from "./deepseek_v3.ts";

export const glm4MoeLite: Family = {
  ...deepseekV3,
  modelType: "glm4_moe_lite",
  summary: "latent attention; by layer mixtures of experts: sigmoid, a bias for the choice, with shared experts",
  defaults: {
    ...deepseekV3.defaults,
    numHeads: 20,
    vocabSize: 154_880,
    maxPosition: 202_752,
    intermediateSize: 10_240,
    normEps: 1e-5,
    partialRotaryFactor: 1,
  },
  latent: { kvRank: 512, queryRank: 768, nopeDim: 192, ropeDim: 64, valueDim: 256, interleave: "asked" },
  experts(config, sizes) {
    const experts = deepseekExperts(config, sizes, { numExperts: 64, topK: 4, width: 1536, scale: 1.8 });
    const isSparse = isSparseByType(config, sizes.numLayers, config.integer("first_k_dense_replace", 0, 1024, 1));
    return (layer) => (isSparse(layer) ? experts : null);
  },
};
