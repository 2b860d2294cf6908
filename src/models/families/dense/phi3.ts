/** @file Phi 3, 3.5 and 4: q, k and v, and gate and up, are one tensor each; later ones turn a part of a head, or scale by LongRoPE. */
import type { Family } from "../family.ts";

export const phi3: Family = {
  modelType: "phi3",
  summary: "fused q, k, v and gate, up; partial rope; LongRoPE; sliding window on all layers",
  slidingWindow: "all",
  hasOddRope: true,
  defaults: {
    slidingWindow: null,
    partialRotaryFactor: 1,
    maxPosition: 4096,
    normEps: 1e-5,
    bosTokenId: 1,
    eosTokenId: 32_000,
    tieWordEmbeddings: false,
  },
  // Older files have other words for LongRoPE.
  ropeTypeOf: (type) => (type === "su" || type === "yarn" ? "longrope" : type),
  traits: () => ({ fusedQkv: "rows", fusedGateUp: true }),
};
