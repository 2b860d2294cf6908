/** @file Jamba: Mamba in most layers, attention without rope in the others, and a mixture of experts in every other layer. */
import { MAX_KERNEL } from "../../../backends/state-ops.ts";
import { requireSilu } from "../../activation-names.ts";
import { selectiveScan } from "../../blocks/selective-scan.ts";
import type { ConfigFields } from "../../config-fields.ts";
import type { Family } from "../family.ts";
import { expertSizes, SOFTMAX_ROUTER, swigluExperts } from "../readers/expert-fields.ts";
import { expanded } from "../readers/mamba-fields.ts";

const NAMES = { gate: "feed_forward.gate_proj", up: "feed_forward.up_proj", down: "feed_forward.down_proj" };

/** Whether a layer is one of every so many, counted from an offset. */
function isEach(config: ConfigFields, name: string, period: number, offset: number): (layer: number) => boolean {
  const each = config.integer(`${name}_period`, 1, 2 ** 16, period);
  const first = config.integer(`${name}_offset`, 0, each - 1, offset);
  return (layer) => layer % each === first;
}

export const jamba: Family = {
  modelType: "jamba",
  summary: "Mamba in place of attention in most layers, no rope; a mixture of experts in every other layer",
  slidingWindow: "none",
  defaults: {
    numHeads: 32,
    numKvHeads: 8,
    vocabSize: 65_536,
    maxPosition: 262_144,
    bosTokenId: 1,
    eosTokenId: 2,
    intermediateSize: 14_336,
    tieWordEmbeddings: false,
  },
  names: { ...NAMES, finalNorm: "model.final_layernorm", feedForwardNorm: "pre_ff_layernorm" },
  hasRope: () => false,
  experts(config, sizes) {
    const isSparse = isEach(config, "expert_layer", 2, 1);
    if (config.raw("num_experts") === 1) return () => null;
    const experts = {
      ...expertSizes(config, { numExperts: 16, topK: 2, width: 14_336 }, "intermediate_size"),
      ...swigluExperts(sizes),
      router: SOFTMAX_ROUTER,
      names: [
        {
          router: "feed_forward.router",
          experts: "feed_forward.experts",
          ...{ gate: "gate_proj", up: "up_proj", down: "down_proj" },
          stacked: { gateUp: "feed_forward.experts.gate_up_proj", down: "feed_forward.experts.down_proj" },
        },
      ],
    };
    return (layer) => (isSparse(layer) ? experts : null);
  },
  mixer(config, { hiddenSize, normEps }) {
    const attends = isEach(config, "attn_layer", 8, 4);
    requireSilu(config, "hidden_act", "Mamba layers");
    const isAuto = (config.raw("mamba_dt_rank") ?? "auto") === "auto";
    const shape = {
      hiddenSize,
      channels: expanded(config, hiddenSize, "mamba_expand"),
      stateSize: config.integer("mamba_d_state", 1, 2 ** 12, 16),
      stepRank: isAuto ? Math.ceil(hiddenSize / 16) : config.integer("mamba_dt_rank", 1, 2 ** 16),
      kernel: config.integer("mamba_d_conv", 2, MAX_KERNEL, 4),
      biases: {
        projections: config.boolean("mamba_proj_bias", false),
        convolution: config.boolean("mamba_conv_bias", true),
      },
      normEps,
    };
    return (layer, prefix) => (attends(layer) ? null : selectiveScan(`${prefix}mamba.`, shape));
  },
};
