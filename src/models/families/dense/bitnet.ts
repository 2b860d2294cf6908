/** @file BitNet b1.58 with unpacked weights: norms before the output and the down projection, ReLU². */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";

export const bitnet: Family = {
  modelType: "bitnet",
  summary: "norms before the output and the down projection; ReLU²",
  slidingWindow: "none",
  defaults: {
    numKvHeads: 5,
    hiddenAct: "relu2",
    theta: 500_000,
    normEps: 1e-5,
    maxPosition: 2048,
    bosTokenId: 128_000,
    eosTokenId: 128_001,
    tieWordEmbeddings: false,
  },
  traits: (config) => ({ subNorms: true, ...configuredBiases(config) }),
};
