/** @file Qwen3-Next: gated delta nets in most layers, attention with a gate of its output in the others, mixtures of experts. */
import type { StackPart } from "../../blocks/block.ts";
import { convolvedWidth, type DeltaNetShape } from "../../blocks/gated-delta-net.ts";
import { splitGroups } from "../../blocks/row-order.ts";
import type { Family } from "../family.ts";
import { isSparseByStep, qwenExperts } from "../readers/expert-fields.ts";
import { deltaNetMixer, gatedAttentionTraits } from "./qwen-hybrid.ts";

function ratesAndDecays({ numHeads, numKeyHeads }: DeltaNetShape): StackPart {
  const group = numHeads / numKeyHeads;
  return ["in_proj_ba", 2 * numHeads, splitGroups(numKeyHeads, [group, group])];
}

export const qwen3Next: Family = {
  modelType: "qwen3_next",
  summary: "as `qwen3_5_text`, with mixtures of experts: softmax over all, a shared expert with a gate",
  slidingWindow: "none",
  hasOddRope: true,
  defaults: {
    numHeads: 16,
    numKvHeads: 2,
    headDim: 256,
    vocabSize: 151_936,
    maxPosition: 32_768,
    intermediateSize: 5632,
    partialRotaryFactor: 0.25,
    tieWordEmbeddings: false,
  },
  traits: gatedAttentionTraits,
  // Rows of q, k, v and the gate come together for each head of keys, and so do those of rates and decays. GGUF files have the first in order.
  mixer: deltaNetMixer(
    (shape) => {
      const { numHeads, numKeyHeads, keyDim, valueDim } = shape;
      const group = numHeads / numKeyHeads;
      const sizes = [keyDim, keyDim, group * valueDim, group * valueDim];
      const rows = 2 * (numKeyHeads * keyDim + numHeads * valueDim);
      return [["in_proj_qkvz", rows, splitGroups(numKeyHeads, sizes)], ratesAndDecays(shape)];
    },
    (shape) => [
      ["in_proj_qkv", convolvedWidth(shape)],
      ["in_proj_z", shape.numHeads * shape.valueDim],
      ratesAndDecays(shape),
    ],
  ),
  experts(config, sizes) {
    const isSparse = isSparseByStep(config);
    const experts = qwenExperts(config, sizes, {
      ...{ numExperts: 512, topK: 10, width: 512, sharedWidth: 512 },
      normalizes: true,
    });
    return (layer) => (isSparse(layer) ? experts : null);
  },
};
