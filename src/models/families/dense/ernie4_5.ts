/** @file ERNIE 4.5, dense: rope on neighbours. */
import { LLAMA_TRAITS } from "../../traits.ts";
import type { Family } from "../family.ts";

export const ernie45: Family = {
  modelType: "ernie4_5",
  summary: "interleaved rope",
  slidingWindow: "none",
  defaults: {
    numKvHeads: 2,
    headDim: 128,
    theta: 500_000,
    normEps: 1e-5,
    maxPosition: 131_072,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: true,
  },
  traits(config) {
    const hasBias = config.boolean("use_bias", false);
    return {
      interleavesRope: true,
      biases: { ...LLAMA_TRAITS.biases, qkv: hasBias, output: hasBias, feedForward: hasBias },
    };
  },
};
