/** @file Helium: Llama with rope on neighbours. */
import { LLAMA_TRAITS } from "../../traits.ts";
import type { Family } from "../family.ts";

export const helium: Family = {
  modelType: "helium",
  summary: "interleaved rope",
  slidingWindow: "none",
  defaults: {
    numHeads: 20,
    numKvHeads: 20,
    headDim: 128,
    theta: 100_000,
    normEps: 1e-8,
    maxPosition: 4096,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: false,
  },
  traits: (config) => ({
    interleavesRope: true,
    biases: {
      ...LLAMA_TRAITS.biases,
      qkv: config.boolean("attention_bias", false),
      feedForward: config.boolean("mlp_bias", false),
    },
  }),
};
