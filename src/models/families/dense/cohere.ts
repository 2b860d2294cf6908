/** @file Command R and R+, Aya 23: as Command R7B, with rope in all layers, and perhaps a LayerNorm of each head of q and k. */

import type { Family } from "../family.ts";
import { cohere2 } from "./cohere2.ts";

export const cohere: Family = {
  ...cohere2,
  modelType: "cohere",
  summary:
    "parallel blocks behind one LayerNorm; interleaved rope; LayerNorm of each head where a config says so; factor of logits",
  slidingWindow: "none",
  defaults: { ...cohere2.defaults, numHeads: 64, vocabSize: 256_000, intermediateSize: 22_528, theta: 500_000 },
  hasRope: () => true,
  traits: (config) => ({
    ...cohere2.traits!(config),
    qkNorm: config.boolean("use_qk_norm", false) ? "layerHeads" : "none",
  }),
};
