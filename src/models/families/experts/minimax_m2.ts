/** @file MiniMax M2: norms of whole rows of q and k, partial rope, sigmoid with a bias for the choice. */

import type { Family } from "../family.ts";
import { BLOCK_SPARSE_EXPERTS, expertSizes, SOFTMAX_ROUTER, swigluExperts } from "../readers/expert-fields.ts";

export const minimaxM2: Family = {
  modelType: "minimax_m2",
  summary: "norms of whole rows of q and k; partial rope; a mixture of experts: sigmoid with a bias for the choice",
  slidingWindow: "none",
  hasOddRope: true,
  defaults: {
    numHeads: 48,
    numKvHeads: 8,
    headDim: 128,
    vocabSize: 200_064,
    maxPosition: 196_608,
    theta: 5e6,
    bosTokenId: 200_034,
    eosTokenId: 200_020,
    tieWordEmbeddings: false,
  },
  rotaryDimField: "rotary_dim",
  traits: () => ({ qkNorm: "row" }),
  experts(config, sizes) {
    const experts = {
      ...expertSizes(config, { numExperts: 256, topK: 8 }, "intermediate_size"),
      ...swigluExperts(sizes),
      router: { ...SOFTMAX_ROUTER, score: "sigmoid" as const, normalizes: true },
      names: [
        {
          ...BLOCK_SPARSE_EXPERTS,
          choiceBias: ["block_sparse_moe.e_score_correction_bias", "mlp.gate.e_score_correction_bias"],
        },
      ],
    };
    return () => experts;
  },
};
