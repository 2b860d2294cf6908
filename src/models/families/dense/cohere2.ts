/** @file Command R7B and Command A: attention and feed-forward beside each other behind one LayerNorm, rope on neighbours in layers with a sliding window. */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";

export const cohere2: Family = {
  modelType: "cohere2",
  summary: "parallel blocks behind one LayerNorm; interleaved rope on layers with a sliding window; factor of logits",
  slidingWindow: "pattern",
  defaults: {
    maxPosition: 8192,
    normEps: 1e-5,
    bosTokenId: 5,
    eosTokenId: 255_001,
    tieWordEmbeddings: true,
  },
  normEpsField: "layer_norm_eps",
  hasRope: (_config, _layer, { window }) => window > 0,
  traits: (config) => ({
    norm: "layer",
    parallel: "shared",
    interleavesRope: true,
    logitScale: config.number("logit_scale", 1e-6, 1e6, 0.0625),
    biases: configuredBiases(config).biases,
  }),
};
