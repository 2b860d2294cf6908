/** @file OLMo 3: OLMo 2 with sliding windows on three of four layers, and rope scaled on the others only. */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";

export const olmo3: Family = {
  modelType: "olmo3",
  summary:
    "norms after blocks; norms of whole rows of q and k; sliding window by layer; rope scaled on the other layers",
  slidingWindow: "pattern",
  defaults: {
    theta: 500_000,
    normEps: 1e-5,
    maxPosition: 2048,
    eosTokenId: 50_279,
    tieWordEmbeddings: false,
  },
  scalesFullLayersOnly: true,
  traits: (config) => ({ norms: "after", qkNorm: "row", ...configuredBiases(config) }),
};
