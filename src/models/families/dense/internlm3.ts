/** @file InternLM 3: Llama, with its own words for biases. */
import { LLAMA_TRAITS } from "../../traits.ts";
import type { Family } from "../family.ts";

export const internlm3: Family = {
  modelType: "internlm3",
  summary: "rope that grows with the longest sequence",
  slidingWindow: "none",
  defaults: {
    numKvHeads: 2,
    headDim: 128,
    normEps: 1e-5,
    maxPosition: 32_768,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  traits(config) {
    // Files as they were published say `qkv_bias` and `bias`; those that Transformers saves, `attention_bias` and `mlp_bias`.
    const all = config.boolean("bias", false);
    const output = config.boolean("attention_bias", all);
    const qkv = config.boolean("attention_bias", config.boolean("qkv_bias", all));
    return { biases: { ...LLAMA_TRAITS.biases, qkv, output, feedForward: config.boolean("mlp_bias", all) } };
  },
};
