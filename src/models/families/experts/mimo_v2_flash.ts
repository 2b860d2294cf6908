/** @file MiMo V2 Flash: values narrower than keys and times a factor; other KV heads and learned logits on layers with a sliding window. */

import { attention } from "../../blocks/attention.ts";
import type { ConfigFields } from "../../config-fields.ts";
import { MAX_POSITION } from "../../config-fields.ts";
import { LLAMA_NAMES } from "../../tensor-names.ts";
import { LLAMA_TRAITS } from "../../traits.ts";
import type { Family } from "../family.ts";
import { deepseekExperts, isSparseByType } from "../readers/expert-fields.ts";

const MAX_LAYERS = 1024;
const MAX_WIDTH = 2 ** 16;
/** `attention_value_scale` where a config leaves it out: a rounded number, not the root of a half. */
const VALUE_SCALE = 707 / 1000;
const NAMES = { ...LLAMA_NAMES, sinkLogits: "self_attn.attention_sink_bias" };

/** A list of ones and zeros, one a layer, in words. */
function inWords(config: ConfigFields, name: string, [zero, one]: readonly [string, string]): string[] | undefined {
  const flags = config.raw(name);
  if (flags === undefined) return undefined;
  if (!Array.isArray(flags) || flags.some((flag) => flag !== 0 && flag !== 1))
    throw config.invalid(name, "a list of 0 and 1, one a layer");
  return flags.map((flag) => (flag === 1 ? one : zero));
}

export const mimoV2Flash: Family = {
  modelType: "mimo_v2_flash",
  summary:
    "values narrower than keys, times a factor; sliding window by layer, with twice the KV heads and a learned logit a head; partial rope; mixtures of experts: sigmoid, a bias for the choice",
  slidingWindow: "pattern",
  defaults: {
    numHeads: 64,
    numKvHeads: 4,
    headDim: 192,
    vocabSize: 152_576,
    maxPosition: 131_072,
    intermediateSize: 16_384,
    slidingWindow: 129,
    partialRotaryFactor: 0.334,
    normEps: 1e-5,
    bosTokenId: 1,
    tieWordEmbeddings: false,
  },
  hasOddRope: true,
  fields: { rms_norm_eps: "layernorm_epsilon" },
  published(config) {
    const numLayers = config.integer("num_hidden_layers", 1, MAX_LAYERS);
    const types = inWords(config, "hybrid_layer_pattern", ["full_attention", "sliding_attention"]);
    const mlps = inWords(config, "moe_layer_freq", ["dense", "sparse"]);
    const isFull = (layer: number): boolean => layer === 0 || (layer + 1) % 6 === 0;
    const kinds = Array.from({ length: numLayers }, (_, n) => (isFull(n) ? "full_attention" : "sliding_attention"));
    const rope = (theta: number) => ({
      rope_type: "default",
      rope_theta: theta,
      partial_rotary_factor: config.number("partial_rotary_factor", 0, 1, 0.334),
    });
    return {
      ...(!config.has("layer_types") && { layer_types: types ?? kinds }),
      ...(!config.has("mlp_layer_types") && mlps && { mlp_layer_types: mlps }),
      // The query itself comes on top of the positions before it.
      ...(config.has("sliding_window_size") && {
        sliding_window: config.integer("sliding_window_size", 1, MAX_POSITION) + 1,
      }),
      ...(!config.has("rope_parameters") && {
        rope_parameters: {
          full_attention: rope(config.number("rope_theta", 1.001, 1e15, 5e6)),
          sliding_attention: rope(config.number("swa_rope_theta", 1.001, 1e15, 1e4)),
        },
      }),
    };
  },
  mixer(config, { hiddenSize, numHeads, numKvHeads, headDim, normEps, ropeOf, slidingWindow }) {
    const valueDim = config.integer("v_head_dim", 1, MAX_WIDTH, 128);
    for (const [name, dim] of [
      ["swa_head_dim", headDim],
      ["swa_v_head_dim", valueDim],
    ] as const) {
      if (config.integer(name, 1, MAX_WIDTH, dim) !== dim)
        throw config.unsupported(name, `expected ${dim}, as on the other layers`);
    }
    const slidingKvHeads = config.integer("swa_num_key_value_heads", 1, numHeads, 2 * numKvHeads);
    if (numHeads % slidingKvHeads !== 0) {
      throw config.invalid("swa_num_key_value_heads", `a divisor of num_attention_heads (${numHeads})`);
    }
    const hasSinks = {
      sliding: config.boolean("add_swa_attention_sink_bias", true),
      full: config.boolean("add_full_attention_sink_bias", false),
    };
    const qkv = config.boolean("attention_bias", false);
    // An explicit null means that values are as they are.
    const isUnscaled = config.mentions("attention_value_scale") && !config.has("attention_value_scale");
    const valueScale = isUnscaled ? 1 : config.number("attention_value_scale", 1e-6, 1e6, VALUE_SCALE);
    return (layer, prefix) => {
      const window = slidingWindow(layer);
      return attention(prefix, {
        hiddenSize,
        numHeads,
        numKvHeads: window > 0 ? slidingKvHeads : numKvHeads,
        headDim,
        valueDim,
        valueScale,
        slidingWindow: window,
        traits: {
          ...LLAMA_TRAITS,
          biases: { ...LLAMA_TRAITS.biases, qkv },
          sinkLogits: window > 0 ? hasSinks.sliding : hasSinks.full,
        },
        normEps,
        rope: ropeOf(layer),
        names: NAMES,
      });
    };
  },
  experts(config, sizes) {
    const experts = deepseekExperts(config, sizes, { numExperts: 256, topK: 8, width: 2048, numShared: 0 });
    const isSparse = isSparseByType(config, sizes.numLayers, 1);
    return (layer) => (isSparse(layer) ? experts : null);
  },
};
