/** @file Qwen 3.5, dense: gated delta nets in most layers, attention with a gate of its output in the others; norm weights stored less one. */
import type { StackPart } from "../../blocks/block.ts";
import type { DeltaNetShape } from "../../blocks/gated-delta-net.ts";
import type { Family } from "../family.ts";
import { deltaNetMixer, gatedAttentionTraits } from "./qwen-hybrid.ts";

export const splitInputs = ({ numHeads, numKeyHeads, keyDim, valueDim }: DeltaNetShape): readonly StackPart[] => [
  ["in_proj_qkv", 2 * numKeyHeads * keyDim + numHeads * valueDim],
  ["in_proj_z", numHeads * valueDim],
  ["in_proj_b", numHeads],
  ["in_proj_a", numHeads],
];

export const qwen35: Family = {
  modelType: "qwen3_5_text",
  summary:
    "gated delta nets in place of attention in most layers; norms of the heads of q and k, a gate of attention's output, partial rope; norm weights stored less one",
  slidingWindow: "none",
  hasOddRope: true,
  defaults: {
    numHeads: 16,
    numKvHeads: 4,
    headDim: 256,
    vocabSize: 248_320,
    maxPosition: 32_768,
    partialRotaryFactor: 0.25,
    tieWordEmbeddings: false,
  },
  traits: gatedAttentionTraits,
  mixer: deltaNetMixer(splitInputs),
};
