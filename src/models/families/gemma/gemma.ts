/** @file Gemma: RMS norms whose weights are stored less one, embeddings times √hidden_size, GELU. The later ones build on it. */
import type { ConfigFields } from "../../config-fields.ts";
import type { Traits } from "../../traits.ts";
import type { Family } from "../family.ts";
import { configuredBiases } from "../readers/configured-biases.ts";

const MAX_WIDTH = 2 ** 20;

/**
 * What all Gemmas have in common. The factor of embeddings is that of a model computed in f32; Transformers rounds it to the type that it
 * computes in. `norm_offset` is no field of theirs: files that store 1 + w say 0.
 */
export function gemmaTraits(config: ConfigFields): Partial<Traits> {
  if (config.boolean("use_bidirectional_attention", false)) {
    throw config.unsupported("use_bidirectional_attention", "expected a decoder, whose tokens attend to earlier ones");
  }
  return {
    ...configuredBiases(config),
    normOffset: config.number("norm_offset", 0, 1, 1),
    embeddingScale: Math.sqrt(config.integer("hidden_size", 1, MAX_WIDTH)),
  };
}

export const gemma: Family = {
  modelType: "gemma",
  summary: "norm weights stored less one; embeddings times √hidden_size; GELU; head_dim of its own",
  slidingWindow: "none",
  // Files of before say "gelu" and mean the approximation. `hidden_activation` counts in later Gemmas, not here, as in Transformers.
  published: (config) => (config.raw("hidden_act") === "gelu" ? { hidden_act: "gelu_pytorch_tanh" } : {}),
  defaults: {
    numHeads: 16,
    numKvHeads: 16,
    headDim: 256,
    vocabSize: 256_000,
    maxPosition: 8192,
    hiddenAct: "gelu_pytorch_tanh",
    bosTokenId: 2,
    eosTokenId: 1,
    tieWordEmbeddings: true,
  },
  traits: gemmaTraits,
};
