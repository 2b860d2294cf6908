/** @file gpt-oss: learned sinks of attention, sliding windows on every other layer, YaRN, and experts whose SwiGLU has limits. */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";
import { expertSizes, MLP_EXPERTS, SOFTMAX_ROUTER, swigluExperts } from "../readers/expert-fields.ts";

export const gptOss: Family = {
  modelType: "gpt_oss",
  summary:
    "sinks of attention; sliding window by layer; a mixture of experts with biases: softmax over the chosen, SwiGLU with limits",
  slidingWindow: "pattern",
  defaults: {
    slidingWindow: 128,
    windowPattern: 2,
    numHeads: 64,
    numKvHeads: 8,
    headDim: 64,
    vocabSize: 201_088,
    maxPosition: 131_072,
    theta: 150_000,
    rope: {
      rope_type: "yarn",
      factor: 32,
      beta_fast: 32,
      beta_slow: 1,
      truncate: false,
      original_max_position_embeddings: 4096,
    },
    normEps: 1e-5,
    tieWordEmbeddings: false,
  },
  traits: (config) => ({ sinkLogits: true, ...configuredBiases(config, true) }),
  experts(config, sizes) {
    const number = (name: string, fallback: number): number => config.number(name, 1e-6, 1e6, fallback);
    const experts = {
      ...expertSizes(config, { numExperts: 128, topK: 4 }, "intermediate_size"),
      ...swigluExperts(sizes),
      router: { ...SOFTMAX_ROUTER, scoresChosen: true },
      biases: { router: true, experts: true },
      activation: {
        kind: "silu" as const,
        isGated: true,
        clamp: { limit: number("swiglu_limit", 7), slope: number("swiglu_alpha", 1.702), offset: 1 },
      },
      names: [{ ...MLP_EXPERTS, router: "mlp.router" }],
      stack: { isTransposed: true, isInterleaved: true, isUsual: true },
    };
    return () => experts;
  },
};
