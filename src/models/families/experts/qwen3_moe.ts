/** @file Qwen 3 with mixtures of experts: softmax over all experts. */

import { qwen3 } from "../dense/qwen3.ts";
import type { Family } from "../family.ts";
import { isSparseByStep, qwenExperts } from "../readers/expert-fields.ts";

export const qwen3Moe: Family = {
  ...qwen3,
  modelType: "qwen3_moe",
  summary: "Qwen 3 with a mixture of experts: softmax over all",
  slidingWindow: "all",
  hasWindowSwitch: true,
  defaults: {
    numHeads: 32,
    numKvHeads: 4,
    vocabSize: 151_936,
    maxPosition: 32_768,
    intermediateSize: 6144,
    tieWordEmbeddings: false,
  },
  experts(config, sizes) {
    const isSparse = isSparseByStep(config);
    const experts = qwenExperts(config, sizes, { numExperts: 128, topK: 8, width: 768, normalizes: false });
    return (layer) => (isSparse(layer) ? experts : null);
  },
};
