/** @file Ling 3: Kimi delta attention in most layers, latent attention with a gate of each head in the others, and mixtures of experts. */

import type { Family } from "../family.ts";
import { deepseekExperts, MLP_EXPERTS } from "../readers/expert-fields.ts";
import { isSparseLayer, KIMI_FIELDS, kimiDeltaMixer, kimiDeltaShape } from "../readers/kimi-delta-fields.ts";

const MAX_LAYERS = 1024;
/** Beyond it decays are nothing but zero. */
const MAX_DECAY = 1e3;

export const bailingHybrid: Family = {
  modelType: "bailing_hybrid",
  summary:
    "`kimi_linear` with a bound of decays, gates of one matrix, and rope and a gate of each head in latent attention",
  slidingWindow: "none",
  defaults: {
    numHeads: 32,
    vocabSize: 157_184,
    maxPosition: 262_144,
    intermediateSize: 6144,
    theta: 6e6,
    eosTokenId: 156_895,
    tieWordEmbeddings: false,
  },
  isNeverTied: true,
  latent: { kvRank: 512, queryRank: null, nopeDim: 128, ropeDim: 64, valueDim: 128, interleave: true },
  names: { embedding: "model.word_embeddings" },
  fields: KIMI_FIELDS,
  published(config) {
    const numLayers = config.integer("num_hidden_layers", 1, MAX_LAYERS);
    const group = config.integer("layer_group_size", 1, MAX_LAYERS, 6);
    const types = Array.from({ length: numLayers }, (_, layer) =>
      (layer + 1) % group === 0 ? "full_attention" : "linear_attention",
    );
    // Files as Transformers saves them have both names, and head_dim is then that of the rotary part.
    const instead = (field: string, name: string) =>
      !config.has(field) && config.has(name) && { [field]: config.raw(name) };
    return {
      ...instead("linear_head_dim", "head_dim"),
      ...instead("linear_conv_kernel_dim", "short_conv_kernel_size"),
      ...(!config.has("layer_types") && { layer_types: types }),
    };
  },
  mixer(config, context) {
    const isBounded = config.boolean("kda_safe_gate", true);
    return kimiDeltaMixer(config, context, {
      prefix: "attention.",
      delta: {
        ...kimiDeltaShape(config, context, { numHeads: context.numHeads, headDim: 128 }),
        gateRank: null,
        decayBound: isBounded ? config.number("kda_lower_bound", -MAX_DECAY, -1e-6, -5) : null,
      },
      deltaTensors: { decay: ["f_proj"], gate: ["g_proj"], output: "dense" },
      latentTensors: { output: "dense", headGate: "g_proj" },
    });
  },
  experts(config, sizes) {
    const experts = deepseekExperts(config, sizes, {
      ...{ numExperts: 512, topK: 8, width: 768, scale: 2.5 },
      groups: { count: 8, chosen: 4 },
    });
    const choiceBias = ["mlp.gate.expert_bias", "mlp.gate.e_score_correction_bias"];
    const own = { ...experts, names: [{ ...MLP_EXPERTS, choiceBias }] };
    const isSparse = isSparseLayer(config, sizes.numLayers, 2);
    return (layer) => (isSparse(layer) ? own : null);
  },
};
