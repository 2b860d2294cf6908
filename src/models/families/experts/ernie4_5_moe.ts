/** @file ERNIE 4.5 with mixtures of experts: softmax with a bias for the choice, shared experts, dense first layers. */
import { ernie45 } from "../dense/ernie4_5.ts";
import type { Family } from "../family.ts";
import { expertSizes, MLP_EXPERTS, SOFTMAX_ROUTER, sharedExperts, swigluExperts } from "../readers/expert-fields.ts";

/** Weights are divided by their sum, or by `moe_norm_min` where that is larger. Up to this bound adding it to the sum comes to the same. */
const MOST_NORM_MIN = 1e-9;

const { headDim: _, ...defaults } = ernie45.defaults;

export const ernie45Moe: Family = {
  ...ernie45,
  modelType: "ernie4_5_moe",
  summary:
    "interleaved rope; a mixture of experts: softmax with a bias for the choice, normalized, shared experts; dense first layers",
  defaults: {
    ...defaults,
    numHeads: 20,
    numKvHeads: 4,
    vocabSize: 103_424,
    intermediateSize: 12_288,
  },
  traits(config) {
    if (config.boolean("use_bias", false))
      throw config.unsupported("use_bias", "biases beside a mixture of experts are not supported; expected false");
    return { ...ernie45.traits?.(config) };
  },
  experts(config, sizes) {
    const last = sizes.numLayers - 1;
    const start = config.integer("moe_layer_start_index", 0, sizes.numLayers, 1);
    const asked = config.integer("moe_layer_end_index", -1, sizes.numLayers, -1);
    const end = asked === -1 ? last : asked;
    const interval = config.integer("moe_layer_interval", 1, 2 ** 16, 1);
    const least = config.number("moe_norm_min", 0, 1, 1e-12);
    if (least > MOST_NORM_MIN)
      throw config.unsupported("moe_norm_min", `a bound of the sum of weights above ${MOST_NORM_MIN} is not supported`);
    const own = expertSizes(config, { numExperts: 64, topK: 6, width: 1536 });
    const experts = {
      ...own,
      ...swigluExperts(sizes),
      router: { ...SOFTMAX_ROUTER, normalizes: true, epsilon: least },
      shared: sharedExperts(config, own.width, 2),
      names: [{ ...MLP_EXPERTS, choiceBias: ["mlp.moe_statics.e_score_correction_bias"] }],
    };
    return (layer) => ((layer + 1) % interval === 0 && layer >= start && layer <= end ? experts : null);
  },
};
