/** @file EXAONE with mixtures of experts: norms before blocks, no rope in layers without a window, DeepSeek's experts. */

import type { Family } from "../family.ts";
import { deepseekExperts, isSparseByType } from "../readers/expert-fields.ts";

export const exaoneMoe: Family = {
  modelType: "exaone_moe",
  summary:
    "norms of the heads of q and k; sliding window by layer; no rope on the other layers; a mixture of experts: sigmoid with a bias for the choice, a shared expert; dense first layers",
  slidingWindow: "pattern",
  defaults: {
    numHeads: 32,
    numKvHeads: 32,
    vocabSize: 102_400,
    maxPosition: 2048,
    normEps: 1e-5,
    bosTokenId: 1,
    eosTokenId: 53,
    intermediateSize: 16_384,
    tieWordEmbeddings: false,
  },
  hasRope: (config, _layer, { window }) =>
    window > 0 || (config.mentions("sliding_window") && !config.has("sliding_window")),
  traits: () => ({ qkNorm: "head" }),
  experts(config, sizes) {
    const numDense = config.integer("first_k_dense_replace", 0, sizes.numLayers, 1);
    const isSparse = isSparseByType(config, sizes.numLayers, numDense);
    const experts = deepseekExperts(config, sizes, { numExperts: 64, topK: 8, width: 1024, scale: 2.5 });
    return (layer) => (isSparse(layer) ? experts : null);
  },
};
