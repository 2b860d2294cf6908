/** @file OLMo 2: norms of what blocks add instead of what they read, and norms of whole rows of q and k. */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";

export const olmo2: Family = {
  modelType: "olmo2",
  summary: "norms after blocks; norms of whole rows of q and k",
  slidingWindow: "none",
  defaults: {
    normEps: 1e-5,
    maxPosition: 2048,
    eosTokenId: 50_279,
    tieWordEmbeddings: false,
  },
  traits: (config) => ({ norms: "after", qkNorm: "row", ...configuredBiases(config) }),
};
