/** @file Mistral 7B and Nemo: Llama with a sliding window on all layers (v0.1) or on none. */
import type { Family } from "../family.ts";

export const mistral: Family = {
  modelType: "mistral",
  summary: "sliding window on all layers",
  slidingWindow: "all",
  defaults: { numKvHeads: 8, bosTokenId: 1, eosTokenId: 2, tieWordEmbeddings: false },
};
