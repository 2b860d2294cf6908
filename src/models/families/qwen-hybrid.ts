/** @file What the hybrids of Qwen have in common: gated delta nets in most layers, attention with a gate of its output in the others. */
import { MAX_DELTA_DIM, MAX_KERNEL } from "../../backends/state-ops.ts";
import type { StackPart } from "../blocks/block.ts";
import { convolvedWidth, type DeltaNetShape, type DeltaNetTensors, gatedDeltaNet } from "../blocks/gated-delta-net.ts";
import type { ConfigFields } from "../config-fields.ts";
import type { Traits } from "../traits.ts";
import { configuredBiases } from "./configured-biases.ts";
import type { Family, MixerContext } from "./family.ts";

const MAX_HEADS = 4096;
const MAX_LAYERS = 1024;

/** Which layers have a delta net: by `layer_types`, or all but each n-th. */
export function linearLayers(config: ConfigFields, numLayers: number): (layer: number) => boolean {
  const types = config.raw("layer_types");
  if (types === undefined) {
    const interval = config.integer("full_attention_interval", 1, MAX_LAYERS, 4);
    return (layer) => (layer + 1) % interval !== 0;
  }
  const isSound = Array.isArray(types) && types.every((type) => ["linear_attention", "full_attention"].includes(type));
  if (!isSound || types.length !== numLayers)
    throw config.invalid("layer_types", `a list of ${numLayers} of linear_attention and full_attention, one a layer`);
  return (layer) => types[layer] === "linear_attention";
}

function deltaNetShape(config: ConfigFields, { hiddenSize, normEps }: MixerContext): DeltaNetShape {
  const numKeyHeads = config.integer("linear_num_key_heads", 1, MAX_HEADS, 16);
  const numHeads = config.integer("linear_num_value_heads", 1, MAX_HEADS, 32);
  if (numHeads % numKeyHeads !== 0)
    throw config.invalid("linear_num_value_heads", `a multiple of linear_num_key_heads (${numKeyHeads})`);
  const dimOf = (name: string): number => {
    const dim = config.integer(name, 4, MAX_DELTA_DIM, 128);
    if (dim % 4 !== 0) throw config.unsupported(name, "expected a multiple of 4");
    return dim;
  };
  return {
    hiddenSize,
    numHeads,
    numKeyHeads,
    keyDim: dimOf("linear_key_head_dim"),
    valueDim: dimOf("linear_value_head_dim"),
    kernel: config.integer("linear_conv_kernel_dim", 2, MAX_KERNEL, 4),
    normEps,
    rateScale: 1,
  };
}

/** A mixer whose delta nets have these tensors. */
export const deltaNetMixer =
  (inputsOf: (shape: DeltaNetShape) => readonly StackPart[]): NonNullable<Family["mixer"]> =>
  (config, context) => {
    const isLinear = linearLayers(config, context.numLayers);
    const activation = config.string("hidden_act", "silu");
    if (activation !== "silu") throw config.unsupported("hidden_act", "delta nets have silu");
    const shape = deltaNetShape(config, context);
    const tensors: DeltaNetTensors = {
      inputs: inputsOf(shape),
      taps: [[["conv1d", convolvedWidth(shape)]]],
      norm: "norm",
      output: "out_proj",
    };
    return (layer, prefix) => (isLinear(layer) ? gatedDeltaNet(`${prefix}linear_attn.`, shape, tensors) : null);
  };

export const gatedAttentionTraits = (config: ConfigFields): Partial<Traits> => ({
  ...configuredBiases(config),
  qkNorm: "head",
  normOffset: 1,
  outputGate: "fused",
});
