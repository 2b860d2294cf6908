/** @file Phi 3.5 MoE: LayerNorm, biases of attention and of the head, and a router that scores each expert among those left. */
import { LLAMA_TRAITS } from "../../traits.ts";
import type { Family } from "../family.ts";
import {
  BLOCK_SPARSE_EXPERTS,
  expertSizes,
  MLP_EXPERTS,
  SOFTMAX_ROUTER,
  swigluExperts,
} from "../readers/expert-fields.ts";

export const phimoe: Family = {
  modelType: "phimoe",
  summary:
    "LayerNorm; biases of attention and of the head; LongRoPE; a mixture of experts: each scored among those left (sparsemixer)",
  slidingWindow: "all",
  defaults: {
    slidingWindow: null,
    numHeads: 32,
    numKvHeads: 8,
    vocabSize: 32_064,
    maxPosition: 131_072,
    theta: 1e6,
    normEps: 1e-5,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  traits(config) {
    const hasBias = config.boolean("attention_bias", false);
    const biases = { ...LLAMA_TRAITS.biases, qkv: hasBias, output: hasBias, norm: true };
    return { norm: "layer", biases: { ...biases, head: config.boolean("lm_head_bias", false) } };
  },
  experts(config, sizes) {
    const experts = {
      // Whatever the config says, there are two.
      ...{ ...expertSizes(config, { numExperts: 16, topK: 2 }, "intermediate_size"), topK: 2 },
      ...swigluExperts(sizes),
      router: {
        ...SOFTMAX_ROUTER,
        score: "sparsemixer" as const,
        jitter: config.number("router_jitter_noise", 0, 1, 0.01),
      },
      names: [BLOCK_SPARSE_EXPERTS, { ...MLP_EXPERTS, router: "mlp.router" }],
    };
    return () => experts;
  },
};
