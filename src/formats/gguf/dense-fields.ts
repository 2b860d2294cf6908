/** @file What metadata of single dense architectures stand for in config.json. */
import type { JsonObject } from "../json-file.ts";
import type { ModelSizes } from "./gemma-fields.ts";
import type { Metadata } from "./metadata.ts";

const MAX = 1e9;

/** `sliding_window`, null for none: a value of 0, or no key. */
export function ofPhi3(metadata: Metadata): JsonObject {
  const window = metadata.number(metadata.own("attention.sliding_window"), 0, MAX, 0);
  return { sliding_window: window === 0 ? null : window };
}

const layerNormEps = (metadata: Metadata): number =>
  metadata.number(metadata.own("attention.layer_norm_epsilon"), 0, 1, 1e-5);

export function ofGranite(metadata: Metadata): JsonObject {
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

export const ofCohere2 = (metadata: Metadata): JsonObject => ({
  ...ofPhi3(metadata),
  layer_norm_eps: layerNormEps(metadata),
  logit_scale: metadata.number(metadata.own("logit_scale"), 0, MAX, 1),
});

export const ofStarcoder2 = (metadata: Metadata): JsonObject => ({
  ...ofPhi3(metadata),
  norm_epsilon: layerNormEps(metadata),
});
