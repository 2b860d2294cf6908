/** @file Bamba: Mamba-2 layers, and attention with rope on half of a head in a few of them. */
import { stateSpace } from "../../blocks/state-space.ts";
import type { ConfigFields } from "../../config-fields.ts";
import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";
import { BAMBA_FIELDS, expanded, parseStateSpace } from "../readers/mamba-fields.ts";

function attentionLayers(config: ConfigFields, numLayers: number): ReadonlySet<number> {
  const indices = config.raw("attn_layer_indices") ?? [];
  const isSound = Array.isArray(indices) && indices.every((n) => Number.isInteger(n) && n >= 0 && n < numLayers);
  if (!isSound) throw config.invalid("attn_layer_indices", `a list of numbers of layers, below ${numLayers}`);
  return new Set(indices);
}

export const bamba: Family = {
  modelType: "bamba",
  summary: "Mamba-2 in place of attention in most layers; rope on half of a head",
  slidingWindow: "none",
  hasOddRope: true,
  defaults: {
    numHeads: 32,
    numKvHeads: 8,
    vocabSize: 128_000,
    maxPosition: 262_144,
    normEps: 1e-5,
    partialRotaryFactor: 0.5,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  names: {
    finalNorm: "model.final_layernorm",
    feedForwardNorm: "pre_ff_layernorm",
    gate: "feed_forward.gate_proj",
    up: "feed_forward.up_proj",
    down: "feed_forward.down_proj",
  },
  // Transformers puts this in the place of what a file says beside `rope_parameters`.
  published: () => ({ partial_rotary_factor: 0.5 }),
  traits: configuredBiases,
  mixer(config, context) {
    const attention = attentionLayers(config, context.numLayers);
    const shape = parseStateSpace(config, context, BAMBA_FIELDS, expanded(config, context.hiddenSize, "mamba_expand"));
    return (layer, prefix) => (attention.has(layer) ? null : stateSpace(`${prefix}mamba.`, shape));
  },
};
