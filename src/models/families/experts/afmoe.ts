/** @file Arcee's Trinity: four norms a layer, a gate of attention's output, rope in layers with a sliding window, sigmoid routers. */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";
import { expertSizes, MLP_EXPERTS, SOFTMAX_ROUTER, sharedExperts, swigluExperts } from "../readers/expert-fields.ts";

export const afmoe: Family = {
  modelType: "afmoe",
  summary:
    "norms around blocks and of the heads of q and k; a gate of attention's output; rope in layers with a sliding window; a mixture of experts: sigmoid with a bias for the choice, shared experts; dense first layers",
  slidingWindow: "pattern",
  patternField: "global_attn_every_n_layers",
  defaults: {
    slidingWindow: 1024,
    numHeads: 16,
    headDim: 128,
    vocabSize: 200_192,
    maxPosition: 16_384,
    normEps: 1e-5,
    intermediateSize: 6144,
    tieWordEmbeddings: false,
  },
  hasRope: (_config, _layer, { window }) => window > 0,
  names: {
    attentionPostNorm: "post_attention_layernorm",
    feedForwardNorm: "pre_mlp_layernorm",
    feedForwardPostNorm: "post_mlp_layernorm",
  },
  traits(config) {
    const isScaled = config.boolean("mup_enabled", false);
    return {
      norms: "around",
      qkNorm: "head",
      outputGate: "values",
      embeddingScale: isScaled ? Math.sqrt(config.integer("hidden_size", 1, 2 ** 20)) : 1,
      ...configuredBiases(config),
    };
  },
  experts(config, sizes) {
    const numDense = config.integer("num_dense_layers", 0, sizes.numLayers, 1);
    const own = expertSizes(config, { numExperts: 64, topK: 6, width: 1408 });
    const experts = {
      ...own,
      ...swigluExperts(sizes),
      router: {
        ...SOFTMAX_ROUTER,
        score: "sigmoid" as const,
        normalizes: true,
        epsilon: 1e-20,
        scale: config.number("route_scale", 0, 1e6, 1),
      },
      shared: sharedExperts(config, own.width, 2),
      names: [{ ...MLP_EXPERTS, router: "mlp.router.gate", choiceBias: "mlp.expert_bias" }],
    };
    return (layer) => (layer < numDense ? null : experts);
  },
};
