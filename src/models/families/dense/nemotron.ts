/** @file Nemotron: LayerNorm whose weights are stored less one, ReLU² without a gate, rope on half of a head. */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";

export const nemotron: Family = {
  modelType: "nemotron",
  summary: "LayerNorm with weights stored less one; ReLU² without a gate; partial rope",
  slidingWindow: "none",
  hasOddRope: true,
  defaults: {
    hiddenAct: "relu2",
    partialRotaryFactor: 0.5,
    normEps: 1e-5,
    maxPosition: 4096,
    bosTokenId: 2,
    eosTokenId: 3,
    tieWordEmbeddings: false,
  },
  normEpsField: "norm_eps",
  traits(config) {
    const { biases } = configuredBiases(config);
    // No field of its own: files that store 1 + w say 0.
    const normOffset = config.number("norm_offset", 0, 1, 1);
    return { norm: "layer", normOffset, isGated: false, biases: { ...biases, norm: true } };
  },
};
