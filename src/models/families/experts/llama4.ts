/** @file Llama 4's text model: chunks of attention, layers without rope whose queries grow with their position, mixtures of experts. */

import type { ConfigFields } from "../../config-fields.ts";
import { MAX_POSITION } from "../../config-fields.ts";
import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";
import { expertSizes, SOFTMAX_ROUTER, sharedExpert, swigluExperts } from "../readers/expert-fields.ts";

/** Which layers have experts: a list of them, or every so manieth. */
function sparseLayers(config: ConfigFields): (layer: number) => boolean {
  const layers = config.raw("moe_layers");
  if (layers === undefined) {
    const step = config.integer("interleave_moe_layer_step", 1, 2 ** 16, 1);
    return (layer) => (layer + 1) % step === 0;
  }
  if (!Array.isArray(layers) || layers.some((layer) => !Number.isInteger(layer)))
    throw config.invalid("moe_layers", "a list of layers");
  return (layer) => layers.includes(layer);
}

export const llama4: Family = {
  modelType: "llama4_text",
  summary:
    "interleaved rope; chunked attention and norms of the heads of q and k behind rope; layers without rope, whose queries grow with their position; a mixture of experts: the input times sigmoid, a shared expert",
  slidingWindow: "chunks",
  defaults: {
    numHeads: 40,
    numKvHeads: 8,
    headDim: 128,
    vocabSize: 202_048,
    maxPosition: 131_072,
    theta: 500_000,
    normEps: 1e-5,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  intermediateSize: (config) => config.integer("intermediate_size_mlp", 1, 2 ** 20, 16_384),
  hasRope(config, layer) {
    const layers = config.raw("no_rope_layers");
    // An empty list stands for none.
    if (layers === undefined || (Array.isArray(layers) && layers.length === 0))
      return (layer + 1) % config.integer("no_rope_layer_interval", 1, 2 ** 16, 4) !== 0;
    // The list says 1 for a layer that has rope.
    if (Array.isArray(layers) && (layers[layer] === 0 || layers[layer] === 1)) return layers[layer] === 1;
    throw config.invalid("no_rope_layers", "a list of 0 and 1, one a layer");
  },
  queryGrowth(config, hasRope) {
    if (hasRope || !config.boolean("attn_temperature_tuning", true)) return undefined;
    const beta = config.number("attn_scale", 0, 1e3, 0.1);
    return { beta, length: config.integer("floor_scale", 1, MAX_POSITION, 8192), offset: 1 };
  },
  traits: (config) => ({
    interleavesRope: true,
    attendsInChunks: true,
    qkNorm: config.boolean("use_qk_norm", true) ? "turnedHead" : "none",
    hasHeadNormWeights: false,
    ...configuredBiases(config),
  }),
  names: {
    gate: "feed_forward.gate_proj",
    up: "feed_forward.up_proj",
    down: "feed_forward.down_proj",
  },
  experts(config, sizes) {
    const isSparse = sparseLayers(config);
    const own = expertSizes(config, { numExperts: 16, topK: 1, width: 8192 }, "intermediate_size");
    const experts = {
      ...own,
      ...swigluExperts(sizes),
      router: { ...SOFTMAX_ROUTER, score: "sigmoid" as const, scoresChosen: true },
      scalesInput: true,
      shared: sharedExpert("feed_forward.shared_expert", own.width),
      names: [
        {
          router: "feed_forward.router",
          experts: "feed_forward.experts",
          gate: "gate_proj",
          up: "up_proj",
          down: "down_proj",
          stacked: { gateUp: "feed_forward.experts.gate_up_proj", down: "feed_forward.experts.down_proj" },
        },
      ],
      stack: { isTransposed: true, isInterleaved: false, isUsual: true },
    };
    return (layer) => (isSparse(layer) ? experts : null);
  },
};
