/** @file DeepSeek-V3 and R1: as V2, with a router of sigmoids and a bias for the choice. */

import type { Family } from "../family.ts";
import { deepseekExperts, isSparseBehind } from "../readers/expert-fields.ts";
import { deepseekV2 } from "./deepseek_v2.ts";

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
    const experts = deepseekExperts(config, sizes, {
      numExperts: 256,
      topK: 8,
      width: 2048,
      groups: { count: 8, chosen: 4 },
      scale: 2.5,
    });
    const isSparse = isSparseBehind(config, 3);
    return (layer) => (isSparse(layer) ? experts : null);
  },
};

/** Kimi K2 in published checkpoints, whose fields are those of DeepSeek-V3. */
export const kimiK2: Family = { ...deepseekV3, modelType: "kimi_k2", summary: "`deepseek_v3`" };
