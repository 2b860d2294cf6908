/** @file What metadata of single dense architectures stand for in config.json. */
import type { JsonObject } from "../json-file.ts";
import { type ModelSizes, windowOf } from "./gemma-fields.ts";
import type { Metadata } from "./metadata.ts";

const MAX = 1e9;

/** `sliding_window`, null for none: a value of 0, or no key. */
export function ofPhi3(metadata: Metadata): JsonObject {
  const window = metadata.number(metadata.own("attention.sliding_window"), 0, MAX, 0);
  return { sliding_window: window === 0 ? null : window };
}

const layerNormEps = (metadata: Metadata): number =>
  metadata.number(metadata.own("attention.layer_norm_epsilon"), 0, 1);

export function ofGranite(metadata: Metadata): JsonObject {
  // Such a file has no rope, and says so where others speak of training.
  const key = metadata.own("rope.scaling.finetuned");
  if (metadata.raw(key) === false)
    throw metadata.unsupported(key, "expected true, as no rope is not supported, got false");
  const factor = (key: string): number => metadata.number(metadata.own(key), 0, MAX, 1);
  return {
    embedding_multiplier: factor("embedding_scale"),
    residual_multiplier: factor("residual_scale"),
    attention_multiplier: factor("attention.scale"),
    logits_scaling: factor("logit_scale"),
  };
}

export const ofAttentionBias = (_metadata: Metadata, { hasBias }: ModelSizes): JsonObject => ({
  attention_bias: hasBias,
});

export const ofSeedOss = (metadata: Metadata, sizes: ModelSizes): JsonObject => ({
  ...ofAttentionBias(metadata, sizes),
  attention_out_bias: false,
});

/** OLMo 3 has windows, of every layer but each fourth where the file does not list them. */
export function ofOlmo2(metadata: Metadata, sizes: ModelSizes): JsonObject {
  const windows = windowOf(metadata, null);
  const hasWindows = windows["sliding_window"] !== null;
  return { ...(hasWindows && { model_type: "olmo3", ...windows }), ...ofAttentionBias(metadata, sizes) };
}

export const ofExaone4 = (metadata: Metadata): JsonObject => windowOf(metadata, null);

/** Ministral 3 has queries that grow with their position; other models of Mistral's are files of this architecture too. */
export const ofMistral3 = (metadata: Metadata): JsonObject => ({
  sliding_window: null,
  ...(growthOf(metadata) > 0 && { model_type: "ministral3" }),
});

/** Where the multiplier is there, the attention factor that YaRN gives is divided out again. */
export function ropeOfMistral3(metadata: Metadata): JsonObject {
  const multiplier = metadata.number(metadata.own("rope.scaling.yarn_log_multiplier"), 0, MAX, 0);
  const growth = growthOf(metadata);
  return { ...(growth > 0 && { llama_4_scaling_beta: growth }), ...(multiplier > 0 && { attention_factor: 1 }) };
}

const growthOf = (metadata: Metadata): number =>
  metadata.number(metadata.own("attention.temperature_scale"), 0, MAX, 0);

/** Layers without KV heads are convolutions. */
export function ofLfm2(metadata: Metadata): JsonObject {
  const heads = metadata.raw(metadata.own("attention.head_count_kv"));
  return {
    norm_eps: metadata.number(metadata.own("attention.layer_norm_rms_epsilon"), 0, 1),
    block_auto_adjust_ff_dim: false,
    conv_L_cache: metadata.size(metadata.own("shortconv.l_cache"), MAX),
    ...(Array.isArray(heads) && { layer_types: heads.map((count) => (count === 0 ? "conv" : "full_attention")) }),
  };
}

export const ofPhi2 = (metadata: Metadata): JsonObject => ({ layer_norm_eps: layerNormEps(metadata) });

export const ofCohere2 = (metadata: Metadata): JsonObject => ({
  ...windowOf(metadata, null),
  layer_norm_eps: layerNormEps(metadata),
  logit_scale: metadata.number(metadata.own("logit_scale"), 0, MAX, 1),
});

export const ofStarcoder2 = (metadata: Metadata): JsonObject => ({
  ...ofPhi3(metadata),
  norm_epsilon: layerNormEps(metadata),
});
