/** @file DeepSeek-V2: latent attention, and mixtures of experts with shared ones behind the first layers. */
import type { ExpertTraits } from "../../blocks/expert-feed-forward.ts";
import type { Family } from "../family.ts";
import {
  expertSizes,
  isSparseBehind,
  MLP_EXPERTS,
  routerGroups,
  SOFTMAX_ROUTER,
  sharedExperts,
  swigluExperts,
} from "../readers/expert-fields.ts";
import { latentMixer } from "../readers/latent-mixer.ts";

export const deepseekV2: Family = {
  modelType: "deepseek_v2",
  summary: "latent attention; behind the first layers mixtures of experts: softmax, in groups, with shared experts",
  slidingWindow: "none",
  defaults: {
    numHeads: 32,
    vocabSize: 102_400,
    maxPosition: 2048,
    intermediateSize: 11_008,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  latent: { kvRank: 512, queryRank: 1536, nopeDim: 128, ropeDim: 64, valueDim: 128, interleave: true },
  mixer: latentMixer,
  experts(config, sizes) {
    if (config.boolean("mlp_bias", false)) {
      throw config.unsupported("mlp_bias", "biases of feed-forwards beside experts are not supported");
    }
    const own = expertSizes(config, { numExperts: 64, width: 1407 });
    const method = config.string("topk_method", "greedy");
    if (method !== "greedy" && method !== "group_limited_greedy") {
      throw config.unsupported("topk_method", "expected greedy or group_limited_greedy");
    }
    const grouped = () => routerGroups(config, own, { count: 1, chosen: 1, by: "best" });
    const experts: ExpertTraits = {
      ...own,
      ...swigluExperts(sizes),
      router: {
        ...SOFTMAX_ROUTER,
        groups: method === "greedy" ? null : grouped(),
        scale: config.number("routed_scaling_factor", 0, 1e3, 1),
      },
      shared: sharedExperts(config, own.width, 2),
      names: [MLP_EXPERTS],
    };
    const isSparse = isSparseBehind(config, 0);
    return (layer) => (isSparse(layer) ? experts : null);
  },
};
