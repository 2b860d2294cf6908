/** @file Qwen 3, dense: no biases, RMS norm on the heads of Q and K, head_dim of its own. */

import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";

export const qwen3: Family = {
  modelType: "qwen3",
  summary: "norms of the heads of q and k; sliding window on upper layers or by `layer_types`",
  slidingWindow: "upper",
  defaults: { numKvHeads: 32, headDim: 128, maxWindowLayers: 28, tieWordEmbeddings: false },
  traits: (config) => ({ qkNorm: "head", ...configuredBiases(config) }),
};
