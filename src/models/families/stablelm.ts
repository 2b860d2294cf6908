/** @file StableLM: LayerNorm, partial rope, parallel blocks where a config says so. */
import { LLAMA_TRAITS } from "../traits.ts";
import type { Family } from "./family.ts";

export const stablelm: Family = {
  modelType: "stablelm",
  summary: "LayerNorm; partial rope; parallel blocks behind one norm where a config says so",
  slidingWindow: "none",
  defaults: {
    partialRotaryFactor: 0.25,
    normEps: 1e-5,
    maxPosition: 4096,
    bosTokenId: 0,
    eosTokenId: 0,
    tieWordEmbeddings: false,
  },
  normEpsField: "layer_norm_eps",
  traits(config) {
    if (config.boolean("qk_layernorm", false))
      throw config.unsupported("qk_layernorm", "LayerNorm of the heads of q and k is not supported; expected false");
    return {
      norm: "layer",
      parallel: config.boolean("use_parallel_residual", false) ? "shared" : "no",
      biases: { ...LLAMA_TRAITS.biases, norm: true, qkv: config.boolean("use_qkv_bias", false) },
    };
  },
};
