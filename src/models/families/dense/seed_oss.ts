/** @file Seed-OSS: biases of q, k and v. */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";

export const seedOss: Family = {
  modelType: "seed_oss",
  summary: "biases of q, k and v",
  slidingWindow: "none",
  defaults: {
    numKvHeads: 8,
    headDim: 128,
    maxPosition: 524_288,
    bosTokenId: 0,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  traits(config) {
    const { biases } = configuredBiases(config, true);
    return { biases: { ...biases, output: config.boolean("attention_out_bias", false) } };
  },
};
