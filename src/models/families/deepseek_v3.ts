/** @file DeepSeek-V3 and R1: as V2, with a router of sigmoids and a bias for the choice. */
import type { ExpertTraits } from "../blocks/expert-feed-forward.ts";
import type { ConfigFields } from "../config-fields.ts";
import { deepseekV2, isSparseBehind, sharedExperts } from "./deepseek_v2.ts";
import {
  type ExpertDefaults,
  expertSizes,
  MLP_EXPERTS,
  routerGroups,
  SOFTMAX_ROUTER,
  swigluExperts,
} from "./expert-fields.ts";
import type { Family, MixtureSizes } from "./family.ts";

export interface SigmoidDefaults extends ExpertDefaults {
  readonly numGroups: number;
  readonly chosenGroups: number;
  readonly numShared: number;
  readonly scale: number;
}

/** Mixtures whose experts count the sigmoid of their logits, as DeepSeek-V3 and many later models have them. */
export function sigmoidExperts(config: ConfigFields, sizes: MixtureSizes, defaults: SigmoidDefaults): ExpertTraits {
  const own = expertSizes(config, defaults);
  return {
    ...own,
    ...swigluExperts(sizes),
    router: {
      ...SOFTMAX_ROUTER,
      score: "sigmoid",
      groups: routerGroups(config, own.numExperts, {
        count: defaults.numGroups,
        chosen: defaults.chosenGroups,
        by: "bestTwo",
      }),
      normalizes: config.boolean("norm_topk_prob", true),
      epsilon: 1e-20,
      scale: config.number("routed_scaling_factor", 0, 1e3, defaults.scale),
    },
    shared: sharedExperts(config, own.width, defaults.numShared),
    names: [{ ...MLP_EXPERTS, choiceBias: "mlp.gate.e_score_correction_bias" }],
  };
}

export const deepseekV3: Family = {
  ...deepseekV2,
  modelType: "deepseek_v3",
  summary:
    "latent attention; behind the first layers mixtures of experts: sigmoid, a bias for the choice, in groups, with shared experts",
  defaults: {
    ...deepseekV2.defaults,
    numHeads: 128,
    vocabSize: 129_280,
    maxPosition: 4096,
    intermediateSize: 18_432,
    bosTokenId: 0,
    eosTokenId: 1,
  },
  latent: { kvRank: 512, queryRank: 1536, nopeDim: 128, ropeDim: 64, valueDim: 128, interleave: "asked" },
  experts(config, sizes) {
    const experts = sigmoidExperts(config, sizes, {
      numExperts: 256,
      topK: 8,
      width: 2048,
      numGroups: 8,
      chosenGroups: 4,
      numShared: 1,
      scale: 2.5,
    });
    const isSparse = isSparseBehind(config, 3);
    return (layer) => (isSparse(layer) ? experts : null);
  },
};

/** Kimi K2 in published checkpoints, whose fields are those of DeepSeek-V3. */
export const kimiK2: Family = { ...deepseekV3, modelType: "kimi_k2", summary: "`deepseek_v3`" };
