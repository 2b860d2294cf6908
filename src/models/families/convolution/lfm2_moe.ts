/** @file LFM2 with mixtures of experts behind the first layers. */
import type { ExpertTraits } from "../../blocks/expert-feed-forward.ts";
import type { Family } from "../family.ts";
import { expertSizes, SOFTMAX_ROUTER, swigluExperts } from "../readers/expert-fields.ts";
import { lfm2 } from "./lfm2.ts";

const MAX_LAYERS = 1024;

const { intermediateSize: _, ...convolutional } = lfm2;

export const lfm2Moe: Family = {
  ...convolutional,
  modelType: "lfm2_moe",
  summary: "LFM2 with a mixture of experts: sigmoid, a bias for the choice; the first layers dense",
  defaults: { ...lfm2.defaults, intermediateSize: 7168 },
  experts(config, sizes) {
    const numDense = config.integer("num_dense_layers", 0, MAX_LAYERS, 2);
    const hasChoiceBias = config.boolean("use_expert_bias", true);
    const experts: ExpertTraits = {
      ...expertSizes(config, { numExperts: 32, topK: 4, width: 1792 }),
      ...swigluExperts(sizes),
      router: {
        ...SOFTMAX_ROUTER,
        score: "sigmoid",
        normalizes: config.boolean("norm_topk_prob", true),
        epsilon: 1e-6,
        scale: config.number("routed_scaling_factor", 0, 1e3, 1),
      },
      names: [
        {
          router: "feed_forward.gate",
          ...(hasChoiceBias && { choiceBias: "feed_forward.expert_bias" }),
          experts: "feed_forward.experts",
          gate: "w1",
          up: "w3",
          down: "w2",
          stacked: { gateUp: "feed_forward.experts.gate_up_proj", down: "feed_forward.experts.down_proj" },
        },
      ],
    };
    return (layer) => (layer < numDense ? null : experts);
  },
};
