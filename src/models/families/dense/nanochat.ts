/** @file nanochat: norms without weights, of embeddings too; rope turned the other way; ReLU² without a gate. */
import { LLAMA_TRAITS } from "../../traits.ts";
import type { Family } from "../family.ts";

export const nanochat: Family = {
  modelType: "nanochat",
  summary:
    "norms without weights, of embeddings and of the heads of q and k behind rope; rope turned the other way; ReLU² without a gate; soft cap of logits",
  slidingWindow: "none",
  reversesRope: true,
  defaults: {
    numHeads: 6,
    numKvHeads: 6,
    vocabSize: 50_304,
    hiddenAct: "relu2",
    maxPosition: 2048,
    bosTokenId: 0,
    eosTokenId: 1,
    tieWordEmbeddings: false,
  },
  names: { up: "mlp.fc1", down: "mlp.fc2" },
  traits(config) {
    const qkv = config.boolean("attention_bias", false);
    const hasCap = !config.mentions("final_logit_softcapping") || config.has("final_logit_softcapping");
    return {
      hasNormWeights: false,
      embeddingNorm: true,
      qkNorm: "turnedHead",
      isGated: false,
      biases: { ...LLAMA_TRAITS.biases, qkv, output: qkv },
      logitSoftcap: hasCap ? config.number("final_logit_softcapping", 0, 1e6, 15) : 0,
    };
  },
};
