/** @file LFM3: gated short convolutions, and attention with a gate of its heads, to all tokens or to a window; norms before and after blocks. */
import { MAX_KERNEL } from "../../../backends/state-ops.ts";
import { shortConvolution } from "../../blocks/short-convolution.ts";
import type { ConfigFields } from "../../config-fields.ts";
import { ropeFields } from "../../rope-config.ts";
import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";
import { lfm2 } from "./lfm2.ts";

/** The type of each layer: of the config, or in turns. */
function layerTypes(config: ConfigFields, numLayers: number): readonly string[] {
  const types = config.raw("layer_types");
  if (types !== undefined) return types as readonly string[];
  const typeOf = (layer: number): string => {
    if (layer % 4 === 2) return "full_attention";
    return layer % 4 === 0 && layer > 0 ? "sliding_attention" : "conv";
  };
  return Array.from({ length: numLayers }, (_, layer) => typeOf(layer));
}

/** Of a file that says nothing of rope. */
const ROPES = {
  sliding_attention: { rope_type: "default", rope_theta: 1e4 },
  full_attention: { rope_type: "proportional", rope_theta: 1e6, partial_rotary_factor: 0.5 },
};

export const lfm3: Family = {
  modelType: "lfm3",
  summary:
    "as LFM2; norms before and after blocks, a gate a head of attention's output, sliding window and rope by layer",
  slidingWindow: "pattern",
  otherLayerTypes: ["conv"],
  layerTypes,
  defaults: {
    ...lfm2.defaults,
    numHeads: 16,
    numKvHeads: 4,
    headDim: 128,
    vocabSize: 128_000,
    intermediateSize: 7680,
    slidingWindow: 256,
    bosTokenId: 124_894,
    eosTokenId: 124_900,
  },
  normEpsField: "norm_eps",
  published: (config) => (ropeFields(config) ? {} : { rope_parameters: ROPES }),
  names: {
    finalNorm: "model.embedding_norm",
    attentionNorm: "operator_norm",
    attentionPostNorm: "post_operator_norm",
    feedForwardNorm: "ffn_norm",
    feedForwardPostNorm: "post_ffn_norm",
    gate: "feed_forward.w1",
    up: "feed_forward.w3",
    down: "feed_forward.w2",
  },
  traits: (config) => ({
    ...configuredBiases(config),
    qkNorm: "head",
    norms: config.boolean("use_sandwich_norm", true) ? "around" : "before",
    outputGate: config.boolean("use_attention_gate", true) ? "heads" : "none",
  }),
  mixer(config, { hiddenSize, numLayers }) {
    const types = layerTypes(config, numLayers);
    const kernel = config.integer("conv_L_cache", 2, MAX_KERNEL, 7);
    const isBiased = config.boolean("conv_bias", false);
    return (layer, prefix) =>
      types[layer] === "conv" ? shortConvolution(`${prefix}conv.`, { hiddenSize, kernel, isBiased }) : null;
  },
};
