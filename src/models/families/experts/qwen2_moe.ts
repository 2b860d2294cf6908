/** @file Qwen 1.5 and 2 with mixtures of experts: softmax over all, and a shared expert that each row has a gate for. */
import { LLAMA_TRAITS } from "../../traits.ts";
import type { Family } from "../family.ts";
import { isSparseByStep, qwenExperts } from "../readers/expert-fields.ts";

export const qwen2Moe: Family = {
  modelType: "qwen2_moe",
  summary: "Qwen 2 with a mixture of experts: softmax over all; a shared expert with a gate",
  slidingWindow: "all",
  hasWindowSwitch: true,
  defaults: {
    numHeads: 16,
    numKvHeads: 16,
    vocabSize: 151_936,
    maxPosition: 32_768,
    intermediateSize: 5632,
    tieWordEmbeddings: false,
  },
  // Every other one of the lower layers has a window.
  layerTypes(config, numLayers) {
    const end = config.boolean("use_sliding_window", false) ? config.integer("max_window_layers", 0, 2 ** 16, 28) : 0;
    return Array.from({ length: numLayers }, (_, layer) =>
      layer % 2 === 0 && layer < end ? "sliding_attention" : "full_attention",
    );
  },
  traits: (config) => ({ biases: { ...LLAMA_TRAITS.biases, qkv: config.boolean("qkv_bias", true) } }),
  experts(config, sizes) {
    const isSparse = isSparseByStep(config);
    const defaults = { numExperts: 60, topK: 4, width: 1408, sharedWidth: 5632, normalizes: false };
    const experts = qwenExperts(config, sizes, defaults);
    return (layer) => (isSparse(layer) ? experts : null);
  },
};
