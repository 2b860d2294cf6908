/** @file Qwen 2 and 2.5: biases on q, k and v. */
import type { Family } from "./family.ts";
import { preNormLayer } from "./pre-norm-layer.ts";

export const qwen2: Family = {
  modelType: "qwen2",
  qkNorm: false,
  attentionBias: "always",
  slidingWindow: "upper",
  defaults: { numKvHeads: 32, maxWindowLayers: 28, tieWordEmbeddings: false },
  branches: preNormLayer,
};
