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

export function ofGranite(metadata: Metadata, { headDim }: ModelSizes): JsonObject {
  // Such a file has no rope, and says so where others speak of training.
  const key = metadata.own("rope.scaling.finetuned");
  if (metadata.raw(key) === false)
    throw metadata.unsupported(key, "expected true, as no rope is not supported, got false");
  return graniteFactors(metadata, headDim);
}

/** Keys that these come from. */
export const GRANITE_KEYS = ["embedding_scale", "residual_scale", "logit_scale", "attention.scale"];

/** Files of before say nothing of what all its models have. */
export function ofMinicpm(metadata: Metadata, { numLayers, hiddenSize, headDim }: ModelSizes): JsonObject {
  const factor = (key: string, fallback: number): number => metadata.number(metadata.own(key), 1e-6, MAX, fallback);
  return {
    attention_multiplier: 1 / Math.sqrt(headDim),
    embedding_multiplier: factor("embedding_scale", 12),
    residual_multiplier: factor("residual_scale", 1.4 / Math.sqrt(numLayers)),
    logits_scaling: 1 / factor("logit_scale", 256 / hiddenSize),
  };
}

/** headDim: scores are divided by its root where the file does not say their factor */
export function graniteFactors(metadata: Metadata, headDim: number): JsonObject {
  // Zero stands for a factor that is not there.
  const factor = (key: string, otherwise = 1): number => metadata.number(metadata.own(key), 0, MAX, 0) || otherwise;
  return {
    embedding_multiplier: factor("embedding_scale"),
    residual_multiplier: factor("residual_scale"),
    attention_multiplier: factor("attention.scale", 1 / Math.sqrt(headDim)),
    logits_scaling: factor("logit_scale"),
  };
}

export const ofAttentionBias = (_metadata: Metadata, { hasBias }: ModelSizes): JsonObject => ({
  attention_bias: hasBias,
});

/** Files of its models with image inputs have rows of q and k in another order. */
export function ofGlm4(metadata: Metadata, sizes: ModelSizes): JsonObject {
  const key = metadata.own("rope.dimension_sections");
  if ([metadata.raw(key) ?? 0].flat().some((section) => section !== 0))
    throw metadata.unsupported(key, "expected none, as positions of images are not supported");
  return ofAttentionBias(metadata, sizes);
}

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
  const heads = metadata.perLayer(metadata.own("attention.head_count_kv"));
  return {
    norm_eps: metadata.number(metadata.own("attention.layer_norm_rms_epsilon"), 0, 1),
    block_auto_adjust_ff_dim: false,
    conv_L_cache: metadata.size(metadata.own("shortconv.l_cache"), MAX),
    ...(heads && { layer_types: heads.map((count) => (count === 0 ? "conv" : "full_attention")) }),
  };
}

export const ofPhi2 = (metadata: Metadata): JsonObject => ({ layer_norm_eps: layerNormEps(metadata) });

export const ofCohere2 = (metadata: Metadata): JsonObject => ({
  ...windowOf(metadata, null),
  layer_norm_eps: layerNormEps(metadata),
  logit_scale: metadata.number(metadata.own("logit_scale"), 0, MAX, 1),
});

export const ofCohere = (metadata: Metadata, { layersWith }: ModelSizes): JsonObject => ({
  ...ofCohere2(metadata),
  use_qk_norm: layersWith("attn_q_norm").some(Boolean),
});

export const ofStarcoder2 = (metadata: Metadata): JsonObject => ({
  ...ofPhi3(metadata),
  norm_epsilon: layerNormEps(metadata),
});

/** Rows of q, k and v are one part after the other, whatever the model's own files have. */
const ROWS_IN_PARTS = { split_qkv_heads: false };

export const ofGptNeox = (metadata: Metadata): JsonObject => ({
  ...ROWS_IN_PARTS,
  layer_norm_eps: layerNormEps(metadata),
  use_parallel_residual: metadata.boolean(metadata.own("use_parallel_residual"), true),
});

/** Matrices are stored as others have them. */
export const ofGpt2 = (metadata: Metadata): JsonObject => ({
  transposed_weights: false,
  layer_norm_epsilon: layerNormEps(metadata),
});

export function ofStarcoder(metadata: Metadata, { numHeads }: ModelSizes): JsonObject {
  const key = metadata.own("attention.head_count_kv");
  const kvHeads = metadata.size(key, numHeads, numHeads);
  if (kvHeads !== 1) throw metadata.unsupported(key, `expected 1, as others are not supported, got ${kvHeads}`);
  return { multi_query: true, layer_norm_epsilon: layerNormEps(metadata) };
}

/** A second norm is that of attention, and the first one then that of the feed-forward. */
export function ofFalcon(metadata: Metadata, { numHeads, layersWith }: ModelSizes): JsonObject {
  const kvHeads = metadata.size(metadata.own("attention.head_count_kv"), numHeads, numHeads);
  const hasTwo = layersWith("attn_norm_2").some(Boolean);
  return {
    ...ROWS_IN_PARTS,
    layer_norm_epsilon: layerNormEps(metadata),
    multi_query: kvHeads === 1,
    num_kv_heads: kvHeads,
    new_decoder_architecture: hasTwo || kvHeads > 1,
    num_ln_in_parallel_attn: hasTwo ? 2 : 1,
    alibi: false,
  };
}

/** Without a norm of its own the feed-forward reads what attention reads. */
export const ofStablelm = (metadata: Metadata, { hasBias, layersWith }: ModelSizes): JsonObject => ({
  layer_norm_eps: layerNormEps(metadata),
  use_parallel_residual: !layersWith("ffn_norm").some(Boolean),
  use_qkv_bias: hasBias,
  qk_layernorm: layersWith("attn_q_norm").some(Boolean),
});

/** Its whole heads are turned. */
export const ofOrion = (metadata: Metadata): JsonObject => ({
  layer_norm_eps: layerNormEps(metadata),
  partial_rotary_factor: 1,
});

/** The number of layers tells the models with ALiBi, as files do not. */
export function ofBaichuan(metadata: Metadata): JsonObject {
  if (metadata.numLayers === 40)
    throw metadata.unsupported(
      metadata.own("block_count"),
      "expected a model with rope, got the one with ALiBi positions",
    );
  return {};
}

/** Of files the width of a feed-forward is that of gate and up together. */
export function ofQwen(metadata: Metadata): JsonObject {
  const key = metadata.own("feed_forward_length");
  const width = metadata.size(key, 2 ** 20);
  if (width % 2 !== 0) throw metadata.invalid(key, "an even number, of gate and up together");
  return { intermediate_size: width / 2 };
}

/** Norms hold 1 + w. */
export const ofNemotron = (metadata: Metadata, { layersWith }: ModelSizes): JsonObject => ({
  norm_offset: 0,
  norm_eps: layerNormEps(metadata),
  attention_bias: layersWith("attn_output.bias").some(Boolean),
  mlp_bias: layersWith("ffn_up.bias").some(Boolean),
});

/** Microsoft's own models, whose vocabulary is of bytes, have another activation than those before them. */
export const ofBitnet = (metadata: Metadata): JsonObject => ({
  hidden_act: metadata.raw("tokenizer.ggml.model") === "gpt2" ? "relu2" : "silu",
});

const XIELU = ["alpha_p", "alpha_n"];

/** What its activation has learned is one number a layer, or one for all. */
export function madeOfApertus(metadata: Metadata): ReadonlyMap<string, readonly number[]> {
  const { numLayers } = metadata;
  const beta = metadata.raw("xielu.beta");
  const all = Array.isArray(beta) ? beta : [beta ?? 0.5];
  if (!all.every((value) => value === 0.5))
    throw metadata.unsupported("xielu.beta", "expected 0.5, as others are not supported");
  const made = XIELU.flatMap((name) => {
    const key = `xielu.${name}`;
    const value = metadata.raw(key);
    const values = typeof value === "number" ? Array(numLayers).fill(value) : metadata.numbers(key, numLayers);
    return values.map((own, layer) => [`model.layers.${layer}.mlp.act_fn.${name}`, [own]] as const);
  });
  return new Map(made);
}
