/** @file GLM 4 (0414), dense: norms before and after blocks, rope on neighbours in half of a head, gate and up in one tensor. */
import { LLAMA_TRAITS } from "../../traits.ts";
import type { Family } from "../family.ts";

export const glm4: Family = {
  modelType: "glm4",
  summary: "norms before and after blocks; interleaved rope on half of a head; biases of q, k and v; fused gate, up",
  slidingWindow: "none",
  hasOddRope: true,
  defaults: {
    numKvHeads: 2,
    headDim: 128,
    partialRotaryFactor: 0.5,
    normEps: 1.5625e-7,
    maxPosition: 131_072,
    eosTokenId: [151_329, 151_336, 151_338],
    tieWordEmbeddings: false,
  },
  names: {
    attentionPostNorm: "post_self_attn_layernorm",
    feedForwardPostNorm: "post_mlp_layernorm",
  },
  traits: (config) => ({
    norms: "around",
    interleavesRope: true,
    fusedGateUp: true,
    biases: { ...LLAMA_TRAITS.biases, qkv: config.boolean("attention_bias", true) },
  }),
};
