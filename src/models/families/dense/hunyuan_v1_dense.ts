/** @file Hunyuan, dense: norms of the heads of q and k behind rope, whose theta a config may raise by `alpha`. */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";

export const hunyuanV1Dense: Family = {
  modelType: "hunyuan_v1_dense",
  summary: "norms of the heads of q and k behind rope; rope with a factor of theta",
  slidingWindow: "none",
  defaults: {
    maxPosition: 2048,
    normEps: 1e-5,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  names: { qNorm: "self_attn.query_layernorm", kNorm: "self_attn.key_layernorm" },
  traits: (config) => ({ qkNorm: "turnedHead", biases: configuredBiases(config).biases }),
};
