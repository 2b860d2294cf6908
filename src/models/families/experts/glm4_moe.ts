/** @file GLM 4.5 to 4.7: DeepSeek's mixtures of experts behind dense first layers, rope on half of a head. */
import { LLAMA_TRAITS } from "../../traits.ts";
import type { Family } from "../family.ts";
import { deepseekExperts } from "../readers/expert-fields.ts";

export const glm4Moe: Family = {
  modelType: "glm4_moe",
  summary:
    "a mixture of experts: sigmoid with a bias for the choice, a shared expert; dense first layers; partial rope",
  slidingWindow: "none",
  hasOddRope: true,
  defaults: {
    numHeads: 96,
    numKvHeads: 8,
    vocabSize: 151_552,
    maxPosition: 131_072,
    partialRotaryFactor: 0.5,
    normEps: 1e-5,
    intermediateSize: 10_944,
    tieWordEmbeddings: false,
  },
  traits: (config) => ({
    qkNorm: config.boolean("use_qk_norm", false) ? "head" : "none",
    biases: { ...LLAMA_TRAITS.biases, qkv: config.boolean("attention_bias", false) },
  }),
  experts(config, sizes) {
    const numDense = config.integer("first_k_dense_replace", 0, sizes.numLayers, 1);
    // GGUF files of the first DeepSeek and of Ling have softmax.
    const score = config.string("scoring_func", "sigmoid");
    if (score !== "sigmoid" && score !== "softmax")
      throw config.unsupported("scoring_func", "expected sigmoid or softmax");
    const experts = deepseekExperts(config, sizes, { numExperts: 128, topK: 8, width: 1408, score });
    return (layer) => (layer < numDense ? null : experts);
  },
};
