/** @file Arcee: Llama with ReLU² and no gate. */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";

export const arcee: Family = {
  modelType: "arcee",
  summary: "ReLU² without a gate",
  slidingWindow: "none",
  defaults: {
    hiddenAct: "relu2",
    normEps: 1e-5,
    maxPosition: 4096,
    bosTokenId: 128_000,
    eosTokenId: 128_001,
    tieWordEmbeddings: false,
  },
  traits: (config) => ({ isGated: false, ...configuredBiases(config) }),
};
