/** @file dots.llm1: DeepSeek's mixtures of experts, norms of the heads of q and k, sliding windows on upper layers. */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";
import { deepseekExperts } from "../readers/expert-fields.ts";

export const dots1: Family = {
  modelType: "dots1",
  summary:
    "norms of the heads of q and k; a mixture of experts: sigmoid with a bias for the choice, groups, shared experts; dense first layers",
  slidingWindow: "upper",
  hasWindowSwitch: false,
  defaults: {
    numHeads: 32,
    numKvHeads: 32,
    vocabSize: 152_064,
    maxPosition: 2048,
    maxWindowLayers: 62,
    intermediateSize: 10_944,
    tieWordEmbeddings: false,
  },
  traits: (config) => ({ qkNorm: "head", ...configuredBiases(config) }),
  experts(config, sizes) {
    const numDense = config.integer("first_k_dense_replace", 0, sizes.numLayers, 0);
    const experts = deepseekExperts(config, sizes, { width: 1408, numShared: 0, normalizes: false });
    return (layer) => (layer < numDense ? null : experts);
  },
};
