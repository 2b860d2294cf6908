/** @file Ministral 8B: Mistral with a sliding window by layer. */
import type { Family } from "../family.ts";

export const ministral: Family = {
  modelType: "ministral",
  summary: "sliding window on all layers or by `layer_types`",
  slidingWindow: "all",
  defaults: { numKvHeads: 8, maxPosition: 131_072, bosTokenId: 1, eosTokenId: 2, tieWordEmbeddings: false },
};
