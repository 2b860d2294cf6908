/** @file MiniCPM3: latent attention in a dense model, with factors of embeddings, of what blocks add, and of logits. */
import { LLAMA_TRAITS } from "../../traits.ts";
import type { Family } from "../family.ts";
import { latentMixer } from "../readers/latent-mixer.ts";

export const minicpm3: Family = {
  modelType: "minicpm3",
  summary: "latent attention; factors of embeddings, residual branches and logits",
  slidingWindow: "none",
  defaults: {
    numHeads: 40,
    vocabSize: 73_448,
    maxPosition: 32_768,
    normEps: 1e-5,
    bosTokenId: 1,
    eosTokenId: 2,
    tieWordEmbeddings: true,
  },
  latent: { kvRank: 256, queryRank: 768, nopeDim: 64, ropeDim: 32, valueDim: null, interleave: false },
  mixer: latentMixer,
  traits: (config) => {
    const hiddenSize = config.integer("hidden_size", 1, 2 ** 20);
    const root = Math.sqrt(config.integer("num_hidden_layers", 1, 2 ** 20));
    // An explicit null means that nothing is scaled.
    const orNone = (name: string, fallback: number, none: number): number =>
      config.mentions(name) && !config.has(name) ? none : config.number(name, 1e-6, 1e6, fallback);
    return {
      embeddingScale: config.number("scale_emb", 1e-6, 1e6, 12),
      residualScale: orNone("scale_depth", 1.4, root) / root,
      logitScale: orNone("dim_model_base", 256, hiddenSize) / hiddenSize,
      biases: { ...LLAMA_TRAITS.biases, feedForward: config.boolean("mlp_bias", false) },
    };
  },
};
