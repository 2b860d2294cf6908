/** @file Shapes of public checkpoints, so that speed and memory can be measured without a download (`--shape`). */
import { TurboQuantError } from "../errors.ts";
import { type ModelConfig, parseModelConfig } from "./config.ts";

/** [hidden, layers, heads, KV heads, head_dim, feed-forward, vocabulary] as in the checkpoints' config.json. */
type Sizes = readonly [number, number, number, number, number, number, number];

function sizes([hidden, layers, heads, kvHeads, headDim, intermediate, vocab]: Sizes) {
  return {
    hidden_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: kvHeads,
    head_dim: headDim,
    intermediate_size: intermediate,
    vocab_size: vocab,
  };
}

function qwen3(shape: Sizes, tied: boolean) {
  return {
    model_type: "qwen3",
    ...sizes(shape),
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    max_position_embeddings: 40_960,
    tie_word_embeddings: tied,
  };
}

function qwen2(shape: Sizes, tied: boolean) {
  return {
    model_type: "qwen2",
    ...sizes(shape),
    rms_norm_eps: 1e-6,
    rope_theta: 1e6,
    max_position_embeddings: 32_768,
    tie_word_embeddings: tied,
  };
}

/** Llama 3.1 and 3.2 extend a context of 8,192 tokens by `factor`. */
function llama3(shape: Sizes, factor: number, tied: boolean) {
  return {
    model_type: "llama",
    ...sizes(shape),
    rms_norm_eps: 1e-5,
    rope_theta: 5e5,
    rope_scaling: {
      rope_type: "llama3",
      factor,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    },
    max_position_embeddings: 131_072,
    tie_word_embeddings: tied,
  };
}

const shapes: Readonly<Record<string, Layered>> = {
  "qwen3-0.6b": qwen3([1024, 28, 16, 8, 128, 3072, 151_936], true),
  "qwen3-1.7b": qwen3([2048, 28, 16, 8, 128, 6144, 151_936], true),
  "qwen3-4b": qwen3([2560, 36, 32, 8, 128, 9728, 151_936], true),
  "qwen3-8b": qwen3([4096, 36, 32, 8, 128, 12_288, 151_936], false),
  "qwen3-14b": qwen3([5120, 40, 40, 8, 128, 17_408, 151_936], false),
  "qwen3-32b": qwen3([5120, 64, 64, 8, 128, 25_600, 151_936], false),
  "qwen2.5-0.5b": qwen2([896, 24, 14, 2, 64, 4864, 151_936], true),
  "qwen2.5-1.5b": qwen2([1536, 28, 12, 2, 128, 8960, 151_936], true),
  "qwen2.5-3b": qwen2([2048, 36, 16, 2, 128, 11_008, 151_936], true),
  "qwen2.5-7b": qwen2([3584, 28, 28, 4, 128, 18_944, 152_064], false),
  "qwen2.5-14b": qwen2([5120, 48, 40, 8, 128, 13_824, 152_064], false),
  "qwen2.5-32b": qwen2([5120, 64, 40, 8, 128, 27_648, 152_064], false),
  "llama-3.2-1b": llama3([2048, 16, 32, 8, 64, 8192, 128_256], 32, true),
  "llama-3.2-3b": llama3([3072, 28, 24, 8, 128, 8192, 128_256], 32, true),
  "llama-3.1-8b": llama3([4096, 32, 32, 8, 128, 14_336, 128_256], 8, false),
  "tinyllama-1.1b": {
    model_type: "llama",
    ...sizes([2048, 22, 32, 4, 64, 5632, 32_000]),
    rms_norm_eps: 1e-5,
    rope_theta: 1e4,
    max_position_embeddings: 2048,
    tie_word_embeddings: false,
  },
  "gemma-2-2b": {
    model_type: "gemma2",
    ...sizes([2304, 26, 8, 4, 256, 9216, 256_000]),
    rms_norm_eps: 1e-6,
    query_pre_attn_scalar: 256,
    sliding_window: 4096,
    max_position_embeddings: 8192,
  },
  "gemma-3-1b": {
    model_type: "gemma3_text",
    ...sizes([1152, 26, 4, 1, 256, 6912, 262_144]),
    rms_norm_eps: 1e-6,
    query_pre_attn_scalar: 256,
    rope_theta: 1e6,
    rope_local_base_freq: 1e4,
    sliding_window: 512,
    sliding_window_pattern: 6,
    max_position_embeddings: 32_768,
  },
  "qwen3-30b-a3b": {
    ...qwen3([2048, 48, 32, 4, 128, 6144, 151_936], false),
    model_type: "qwen3_moe",
    num_experts: 128,
    num_experts_per_tok: 8,
    moe_intermediate_size: 768,
    norm_topk_prob: true,
  },
  // Widths of latents, experts behind the first three layers and the indexer, which chooses 2,048 tokens, are the family's own.
  "deepseek-v3.2": {
    model_type: "deepseek_v32",
    ...sizes([7168, 61, 128, 128, 64, 18_432, 129_280]),
    rms_norm_eps: 1e-6,
    rope_theta: 1e4,
    max_position_embeddings: 163_840,
    tie_word_embeddings: false,
  },
  // Sizes, windows and YaRN are the family's own.
  "gpt-oss-20b": {
    model_type: "gpt_oss",
    ...sizes([2880, 24, 64, 8, 64, 2880, 201_088]),
    num_local_experts: 32,
    num_experts_per_tok: 4,
    max_position_embeddings: 131_072,
  },
  // With vision and sound left out. Every fifth layer attends to everything; the last twenty read the keys and values of others.
  "gemma-4-e2b": {
    model_type: "gemma4_text",
    ...sizes([1536, 35, 8, 1, 256, 6144, 262_144]),
    global_head_dim: 512,
    layer_types: Array.from({ length: 35 }, (_, layer) => (layer % 5 === 4 ? "full_attention" : "sliding_attention")),
    sliding_window: 512,
    num_kv_shared_layers: 20,
    use_double_wide_mlp: true,
    hidden_size_per_layer_input: 256,
    vocab_size_per_layer_input: 262_144,
    final_logit_softcapping: 30,
    rms_norm_eps: 1e-6,
    max_position_embeddings: 131_072,
    tie_word_embeddings: true,
  },
  // With the vision tower left out. Every fourth layer has attention.
  "qwen3.5-0.8b": {
    model_type: "qwen3_5_text",
    ...sizes([1024, 24, 8, 2, 256, 3584, 248_320]),
    linear_num_key_heads: 16,
    linear_num_value_heads: 16,
    linear_key_head_dim: 128,
    linear_value_head_dim: 128,
    linear_conv_kernel_dim: 4,
    layer_types: Array.from({ length: 24 }, (_, layer) => (layer % 4 === 3 ? "full_attention" : "linear_attention")),
    rms_norm_eps: 1e-6,
    rope_parameters: { rope_type: "default", rope_theta: 1e7, partial_rotary_factor: 0.25 },
    max_position_embeddings: 262_144,
    tie_word_embeddings: true,
  },
  // Also that of LFM2.5.
  "lfm2-1.2b": {
    model_type: "lfm2",
    ...sizes([2048, 16, 32, 8, 64, 8192, 65_536]),
    block_auto_adjust_ff_dim: false,
    conv_L_cache: 3,
    layer_types: Array.from({ length: 16 }, (_, layer) =>
      [2, 5, 8, 10, 12, 14].includes(layer) ? "full_attention" : "conv",
    ),
    norm_eps: 1e-5,
    rope_theta: 1e6,
    max_position_embeddings: 128_000,
    tie_word_embeddings: true,
  },
  "mistral-7b": {
    model_type: "mistral",
    ...sizes([4096, 32, 32, 8, 128, 14_336, 32_768]),
    rms_norm_eps: 1e-5,
    rope_theta: 1e6,
    sliding_window: null,
    max_position_embeddings: 32_768,
    tie_word_embeddings: false,
  },
};

/** Names that `--shape` takes. */
export const shapeNames: readonly string[] = Object.keys(shapes);

interface Layered extends Readonly<Record<string, unknown>> {
  readonly num_hidden_layers: number;
  readonly layer_types?: readonly string[];
  readonly num_kv_shared_layers?: number;
}

/** A config with its first layers alone. Layers that read those of others are the last ones. */
function firstLayers(json: Layered, layers: number): object {
  const { num_hidden_layers: all, layer_types: types, num_kv_shared_layers: shared } = json;
  if (layers >= all) return json;
  return {
    ...json,
    num_hidden_layers: layers,
    ...(types && { layer_types: types.slice(0, layers) }),
    ...(shared !== undefined && { num_kv_shared_layers: Math.max(0, layers - (all - shared)) }),
  };
}

/**
 * The config.json of a shape. layers: how many it has at most; absent: all
 * @throws TurboQuantError invalid_argument — no such shape
 */
export function shapeJson(name: string, layers = Number.POSITIVE_INFINITY): object {
  const json = Object.hasOwn(shapes, name) ? shapes[name] : undefined;
  if (!json) {
    throw new TurboQuantError("invalid_argument", `shape: expected one of ${shapeNames.join(", ")}, got "${name}"`, {
      name,
    });
  }
  return firstLayers(json, layers);
}

/** Arguments as of `shapeJson`. @throws TurboQuantError invalid_argument — no such shape */
export function shapeConfig(name: string, layers?: number): ModelConfig {
  return parseModelConfig(shapeJson(name, layers), `shape ${name}`);
}
