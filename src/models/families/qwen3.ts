/** @file Qwen 3, dense: no biases, RMS norm on the heads of Q and K, head_dim of its own. */
import type { Family } from "./family.ts";
import { preNormLayer } from "./pre-norm-layer.ts";

export const qwen3: Family = {
  modelType: "qwen3",
  qkNorm: true,
  attentionBias: "configurable",
  slidingWindow: "upper",
  defaults: { numKvHeads: 32, headDim: 128, maxWindowLayers: 28, tieWordEmbeddings: false },
  branches: preNormLayer,
};
