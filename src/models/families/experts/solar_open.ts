/** @file Solar Open: DeepSeek's mixtures of experts in every layer. */
import { LLAMA_TRAITS } from "../../traits.ts";
import type { Family } from "../family.ts";
import { deepseekExperts } from "../readers/expert-fields.ts";

export const solarOpen: Family = {
  modelType: "solar_open",
  summary: "a mixture of experts: sigmoid with a bias for the choice, a shared expert",
  slidingWindow: "none",
  defaults: {
    numHeads: 64,
    numKvHeads: 8,
    headDim: 128,
    vocabSize: 196_608,
    maxPosition: 131_072,
    theta: 1e6,
    partialRotaryFactor: 1,
    normEps: 1e-5,
    // There is no dense layer.
    intermediateSize: 1,
    tieWordEmbeddings: false,
  },
  traits: (config) => ({ biases: { ...LLAMA_TRAITS.biases, qkv: config.boolean("attention_bias", false) } }),
  experts(config, sizes) {
    const experts = deepseekExperts(config, sizes, { numExperts: 128, topK: 8, width: 1280 });
    return () => experts;
  },
};
