/** @file Qwen3-Next: gated delta nets in most layers, attention with a gate of its output in the others, mixtures of experts. */
import { splitGroups } from "../blocks/row-order.ts";
import { isSparseByStep, qwenExperts } from "./expert-fields.ts";
import type { Family } from "./family.ts";
import { deltaNetMixer, gatedAttentionTraits } from "./qwen-hybrid.ts";

export const qwen3Next: Family = {
  modelType: "qwen3_next",
  summary: "as `qwen3_5_text`, with mixtures of experts: softmax over all, a shared expert with a gate",
  slidingWindow: "none",
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
  // Rows of q, k, v and the gate come together for each head of keys, and so do those of rates and decays.
  mixer: deltaNetMixer(({ numHeads, numKeyHeads, keyDim, valueDim }) => {
    const group = numHeads / numKeyHeads;
    const sizes = [keyDim, keyDim, group * valueDim, group * valueDim];
    return [
      ["in_proj_qkvz", 2 * (numKeyHeads * keyDim + numHeads * valueDim), splitGroups(numKeyHeads, sizes)],
      ["in_proj_ba", 2 * numHeads, splitGroups(numKeyHeads, [group, group])],
    ];
  }),
  experts(config, sizes) {
    const isSparse = isSparseByStep(config);
    const experts = qwenExperts(config, sizes, {
      ...{ numExperts: 512, topK: 10, width: 512, sharedWidth: 512 },
      normalizes: true,
    });
    return (layer) => (isSparse(layer) ? experts : null);
  },
};
