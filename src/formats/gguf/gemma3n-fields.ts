/** @file What metadata of Gemma 3n stand for in config.json, and what its files call its tensors. */
import type { JsonObject } from "../json-file.ts";
import { type GgufArchitecture, NORMS_AROUND, QK_NORMS } from "./architecture.ts";
import { type ModelSizes, windowOf } from "./gemma-fields.ts";
import type { Metadata } from "./metadata.ts";

const MAX = { width: 1 << 20, streams: 64 };

function ofGemma3n(metadata: Metadata, { numLayers, shapeOf }: ModelSizes): JsonObject {
  const own = (key: string): string => metadata.own(key);
  const cutoffs = metadata.numbers(own("activation_sparsity_scale"), numLayers);
  return {
    ...windowOf(metadata, 512),
    rope_local_base_freq: metadata.number(own("rope.freq_base_swa"), 1.001, 1e15, 1e4),
    final_logit_softcapping: metadata.number(own("final_logit_softcapping"), 0, 1e6, 30),
    altup_num_inputs: metadata.size(own("altup.num_inputs"), MAX.streams),
    altup_active_idx: metadata.number(own("altup.active_idx"), 0, MAX.streams),
    laurel_rank: shapeOf("blk.0.laurel_l.weight")?.[0] ?? 64,
    hidden_size_per_layer_input: metadata.size(own("embedding_length_per_layer_input"), MAX.width),
    vocab_size_per_layer_input: shapeOf("per_layer_token_embd.weight")?.[0] ?? 262_144,
    num_kv_shared_layers: metadata.number(own("attention.shared_kv_layers"), 0, numLayers),
    // What is not above minus infinity is everything.
    activation_sparsity_cutoffs: cutoffs.map((cutoff) => (Number.isFinite(cutoff) ? cutoff : null)),
  };
}

export const GEMMA3N: GgufArchitecture = {
  modelType: "gemma3n_text",
  interleavesHeads: false,
  layer: {
    ...NORMS_AROUND,
    ...QK_NORMS,
    inp_gate: "per_layer_input_gate",
    proj: "per_layer_projection",
    post_norm: "post_per_layer_input_norm",
    altup_correct_coef: "altup.correction_coefs",
    altup_predict_coef: "altup.prediction_coefs",
    altup_router: "altup.modality_router",
    altup_router_norm: "altup.router_norm",
    laurel_l: "laurel.linear_left",
    laurel_r: "laurel.linear_right",
    laurel_post_norm: "laurel.post_laurel_norm",
  },
  whole: { "altup_correct_scale.weight": "altup.correct_output_scale" },
  model: {
    per_layer_token_embd: "model.embed_tokens_per_layer",
    per_layer_model_proj: "model.per_layer_model_projection",
    per_layer_proj_norm: "model.per_layer_projection_norm",
  },
  slices: {
    altup_proj: (index) => `model.altup_projections.${index}.weight`,
    altup_unembd_proj: (index) => `model.altup_unembed_projections.${index}.weight`,
  },
  fields: ofGemma3n,
  reads: ["final_logit_softcapping"],
};
