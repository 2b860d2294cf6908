/** @file StableLM: LayerNorm, partial rope, parallel blocks where a config says so. */
import { LLAMA_TRAITS } from "../../traits.ts";
import type { Family } from "../family.ts";

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
  names: { qNorm: "self_attn.q_layernorm", kNorm: "self_attn.k_layernorm" },
  traits(config) {
    return {
      norm: "layer",
      qkNorm: config.boolean("qk_layernorm", false) ? "layerHeads" : "none",
      parallel: config.boolean("use_parallel_residual", false) ? "shared" : "no",
      biases: { ...LLAMA_TRAITS.biases, norm: true, qkv: config.boolean("use_qkv_bias", false) },
    };
  },
};
