/** @file What the hybrids of Qwen have in common: gated delta nets in most layers, attention with a gate of its output in the others. */
import type { StackPart } from "../../blocks/block.ts";
import {
  convolvedWidth,
  type DeltaNetShape,
  type DeltaNetTensors,
  gatedDeltaNet,
} from "../../blocks/gated-delta-net.ts";
import type { ConfigFields } from "../../config-fields.ts";
import type { Traits } from "../../traits.ts";
import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";
import { type DeltaNetDefaults, linearLayers, parseDeltaNet } from "../readers/delta-net-fields.ts";

const DEFAULTS: DeltaNetDefaults = { numKeyHeads: 16, numHeads: 32, keyDim: () => 128, valueDim: () => 128 };

/** A mixer whose delta nets have these tensors. */
export const deltaNetMixer =
  (
    inputsOf: (shape: DeltaNetShape) => readonly StackPart[],
    otherInputsOf?: (shape: DeltaNetShape) => readonly StackPart[],
    gateOf: (config: ConfigFields) => NonNullable<DeltaNetShape["gateActivation"]> = () => "silu",
  ): NonNullable<Family["mixer"]> =>
  (config, context) => {
    const isLinear = linearLayers(config, context.numLayers);
    const { hiddenSize, normEps } = context;
    const shape: DeltaNetShape = {
      ...parseDeltaNet(config, DEFAULTS),
      ...{ hiddenSize, normEps, rateScale: 1, gateActivation: gateOf(config) },
    };
    const tensors: DeltaNetTensors = {
      inputs: inputsOf(shape),
      ...(otherInputsOf && { otherInputs: otherInputsOf(shape) }),
      taps: [[["conv1d", convolvedWidth(shape)]]],
      norm: "norm",
      output: "out_proj",
    };
    return (layer, prefix) => (isLinear(layer) ? gatedDeltaNet(`${prefix}linear_attn.`, shape, tensors) : null);
  };

export const gatedAttentionTraits = (config: ConfigFields): Partial<Traits> => ({
  ...configuredBiases(config),
  qkNorm: "head",
  // No field of theirs: files that store 1 + w say 0.
  normOffset: config.number("norm_offset", 0, 1, 1),
  outputGate: "fused",
});
