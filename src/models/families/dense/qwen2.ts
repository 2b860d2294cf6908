/** @file Qwen 2 and 2.5: biases on q, k and v. */
import { LLAMA_TRAITS } from "../../traits.ts";
import type { Family } from "../family.ts";

export const qwen2: Family = {
  modelType: "qwen2",
  summary: "biases of q, k and v; sliding window on upper layers or by `layer_types`",
  slidingWindow: "upper",
  defaults: { numKvHeads: 32, maxWindowLayers: 28, tieWordEmbeddings: false },
  traits: () => ({ biases: { ...LLAMA_TRAITS.biases, qkv: true } }),
};
