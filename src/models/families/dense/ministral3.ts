/** @file Ministral 3: Mistral with YaRN, and queries that grow with the position from the length of training on. */
import { MAX_POSITION } from "../../config-fields.ts";
import { ropeFields } from "../../rope-config.ts";
import type { Family } from "../family.ts";

const ROPE = {
  rope_type: "yarn",
  rope_theta: 1e6,
  factor: 16,
  original_max_position_embeddings: 16_384,
  beta_fast: 32,
  beta_slow: 1,
  mscale: 1,
  mscale_all_dim: 1,
  llama_4_scaling_beta: 0.1,
};

export const ministral3: Family = {
  modelType: "ministral3",
  summary: "YaRN; queries grow with their position beyond the length of training",
  slidingWindow: "all",
  defaults: {
    slidingWindow: null,
    numKvHeads: 8,
    headDim: 128,
    normEps: 1e-5,
    maxPosition: 262_144,
    rope: ROPE,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  queryGrowth(config) {
    const rope = ropeFields(config, ROPE)!;
    const beta = rope.number("llama_4_scaling_beta", 0, 1e3, 0);
    if (beta === 0) return undefined;
    return { beta, length: rope.integer("original_max_position_embeddings", 1, MAX_POSITION), offset: 0 };
  },
};
