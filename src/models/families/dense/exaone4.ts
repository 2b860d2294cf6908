/** @file EXAONE 4: norms of what blocks add, norms of the heads of q and k; where some layers have a sliding window, the others have no rope. */
import type { Family } from "../family.ts";

export const exaone4: Family = {
  modelType: "exaone4",
  summary: "norms after blocks; norms of the heads of q and k; sliding window by layer; no rope on the other layers",
  slidingWindow: "pattern",
  defaults: {
    numKvHeads: 32,
    normEps: 1e-5,
    maxPosition: 2048,
    bosTokenId: 0,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  hasRope: (_config, _layer, { window, hasWindows }) => window > 0 || !hasWindows,
  traits: () => ({ norms: "after", qkNorm: "head" }),
};
