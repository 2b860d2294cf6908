/** @file GPT-BigCode (SantaCoder, StarCoder): GPT-2 with one KV head, and matrices stored as others have them. */
import type { Family } from "../family.ts";
import { gpt2, gpt2Traits } from "./gpt2.ts";

export const gptBigcode: Family = {
  ...gpt2,
  modelType: "gpt_bigcode",
  summary: "GPT-2 with one KV head, or q, k, v fused head by head; matrices as in Llama",
  numKvHeads: (config, numHeads) => (config.boolean("multi_query", true) ? 1 : numHeads),
  defaults: { ...gpt2.defaults, hiddenAct: "gelu_pytorch_tanh" },
  traits: (config) => ({
    ...gpt2Traits(config),
    fusedQkv: config.boolean("multi_query", true) ? "rows" : "heads",
  }),
};
