/**
 * @file Published configs of families: bytes of a token and of states, and parameters with all experts, each by arithmetic over the sizes that
 * stand beside it. Wrappers have the fields that their publishers wrote, and no others.
 */
import { expect, it } from "vitest";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { CacheMemory } from "./cache-memory.ts";
import { fixedStateBytes } from "./model-memory.ts";
import { plannedModel } from "./planned-model.ts";
import { weightMemory } from "./weight-memory.ts";

interface Sizes {
  readonly type: string;
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly dim: number;
  /** Of the feed-forward, or of one expert. */
  readonly inner: number;
  readonly vocab: number;
  readonly more?: object;
}

const json = ({ type, hidden, layers, heads, kvHeads, dim, inner, vocab, more }: Sizes): object => ({
  model_type: type,
  hidden_size: hidden,
  num_hidden_layers: layers,
  num_attention_heads: heads,
  num_key_value_heads: kvHeads,
  head_dim: dim,
  intermediate_size: inner,
  vocab_size: vocab,
  max_position_embeddings: 131_072,
  ...more,
});

/** Parameters of q, k, v and output of a layer. */
const attention = ({ hidden, heads, kvHeads, dim }: Sizes): number => hidden * dim * (2 * heads + 2 * kvHeads);
/** Of a feed-forward with `matrices` matrices. */
const feedForward = ({ hidden, inner }: Sizes, matrices = 3): number => matrices * hidden * inner;
/** f16 bytes of a token in one layer. */
const kvBytes = ({ kvHeads, dim }: Sizes): number => 2 * 2 * kvHeads * dim;

const tied = { tie_word_embeddings: true };
const untied = { tie_word_embeddings: false };
const SEED_OSS: Sizes = {
  ...{ type: "seed_oss", hidden: 5120, layers: 64, heads: 80, kvHeads: 8, dim: 128, inner: 27_648, vocab: 155_136 },
  more: { ...untied, attention_bias: true, attention_out_bias: false },
};
const GLM4: Sizes = {
  ...{ type: "glm4", hidden: 4096, layers: 40, heads: 32, kvHeads: 2, dim: 128, inner: 13_696, vocab: 151_552 },
  more: { ...untied, attention_bias: true, partial_rotary_factor: 0.5 },
};
const EXAONE4: Sizes = {
  ...{ type: "exaone4", hidden: 5120, layers: 64, heads: 40, kvHeads: 8, dim: 128, inner: 27_392, vocab: 102_400 },
  more: { ...untied, sliding_window: 4096, sliding_window_pattern: "LLLG" },
};
const COHERE2: Sizes = {
  ...{ type: "cohere2", hidden: 4096, layers: 32, heads: 32, kvHeads: 8, dim: 128, inner: 14_336, vocab: 256_000 },
  more: { ...tied, sliding_window: 4096, sliding_window_pattern: 4, layer_norm_eps: 1e-5 },
};
const STARCODER2: Sizes = {
  ...{ type: "starcoder2", hidden: 3072, layers: 30, heads: 24, kvHeads: 2, dim: 128, inner: 12_288, vocab: 49_152 },
  more: { ...tied, sliding_window: 4096, use_bias: true },
};
const APERTUS: Sizes = {
  ...{ type: "apertus", hidden: 4096, layers: 32, heads: 32, kvHeads: 8, dim: 128, inner: 21_504, vocab: 131_072 },
  more: untied,
};
const BITNET: Sizes = {
  ...{ type: "bitnet", hidden: 2560, layers: 30, heads: 20, kvHeads: 5, dim: 128, inner: 6912, vocab: 128_256 },
  more: tied,
};
const ERNIE: Sizes = {
  ...{ type: "ernie4_5", hidden: 1024, layers: 18, heads: 16, kvHeads: 2, dim: 128, inner: 3072, vocab: 103_424 },
  more: { ...tied, use_bias: false },
};
const MISTRAL_SMALL: Sizes = {
  ...{ type: "mistral", hidden: 5120, layers: 40, heads: 32, kvHeads: 8, dim: 128, inner: 32_768, vocab: 131_072 },
  more: { sliding_window: null },
};
const OLMOE: Sizes = {
  ...{ type: "olmoe", hidden: 2048, layers: 16, heads: 16, kvHeads: 16, dim: 128, inner: 1024, vocab: 50_304 },
  more: { ...untied, num_experts: 64, num_experts_per_tok: 8 },
};
const MINIMAX: Sizes = {
  ...{ type: "minimax_m2", hidden: 3072, layers: 62, heads: 48, kvHeads: 8, dim: 128, inner: 1536, vocab: 200_064 },
  more: { ...untied, num_local_experts: 256, num_experts_per_tok: 8, rotary_dim: 64 },
};
const GLM45_AIR: Sizes = {
  ...{ type: "glm4_moe", hidden: 4096, layers: 46, heads: 96, kvHeads: 8, dim: 128, inner: 10_944, vocab: 151_552 },
  more: {
    ...{ ...untied, attention_bias: true, n_routed_experts: 128, n_shared_experts: 1, num_experts_per_tok: 8 },
    ...{ moe_intermediate_size: 1408, first_k_dense_replace: 1 },
  },
};
const SCOUT: Sizes = {
  ...{ type: "llama4_text", hidden: 5120, layers: 48, heads: 40, kvHeads: 8, dim: 128, inner: 8192, vocab: 202_048 },
  more: { ...untied, intermediate_size_mlp: 16_384, num_local_experts: 16, interleave_moe_layer_step: 1 },
};
const LFM2_MOE: Sizes = {
  ...{ type: "lfm2_moe", hidden: 2048, layers: 24, heads: 32, kvHeads: 8, dim: 64, inner: 7168, vocab: 65_536 },
  more: {
    ...{ ...tied, num_experts: 32, num_experts_per_tok: 4, moe_intermediate_size: 1792, num_dense_layers: 2 },
    ...{ conv_L_cache: 3 },
    layer_types: Array.from({ length: 24 }, (_, i) => ([2, 6, 10, 14, 18, 21].includes(i) ? "full_attention" : "conv")),
  },
};
const DEEPSEEK_V2_LITE = {
  ...{ model_type: "deepseek_v2", hidden_size: 2048, num_hidden_layers: 27, num_attention_heads: 16 },
  ...{ num_key_value_heads: 16, kv_lora_rank: 512, q_lora_rank: null, qk_nope_head_dim: 128, qk_rope_head_dim: 64 },
  ...{ v_head_dim: 128, intermediate_size: 10_944, moe_intermediate_size: 1408, n_routed_experts: 64 },
  ...{ n_shared_experts: 2, num_experts_per_tok: 6, first_k_dense_replace: 1, vocab_size: 102_400 },
  max_position_embeddings: 163_840,
};
const PYTHIA = {
  ...{ model_type: "gpt_neox", hidden_size: 2048, num_hidden_layers: 24, num_attention_heads: 16 },
  ...{ intermediate_size: 8192, vocab_size: 50_304, rotary_pct: 0.25, max_position_embeddings: 2048 },
  tie_word_embeddings: false,
};
const PHI2 = {
  ...{ model_type: "phi", hidden_size: 2560, num_hidden_layers: 32, num_attention_heads: 32, num_key_value_heads: 32 },
  ...{ intermediate_size: 10_240, vocab_size: 51_200, partial_rotary_factor: 0.4, max_position_embeddings: 2048 },
};

const sum = ({ layers, hidden, vocab, more }: Sizes, layer: number): number =>
  layers * layer + vocab * hidden * ((more as { tie_word_embeddings?: boolean }).tie_word_embeddings ? 1 : 2);
const dense = (own: Sizes, matrices = 3): number => sum(own, attention(own) + feedForward(own, matrices));
const mixed = (own: Sizes, experts: number, more = 0): number =>
  sum(own, attention(own) + experts * feedForward(own) + more);

interface Row {
  readonly config: object;
  /** Of matrices alone, by hand; biases and norms are below a thousandth. */
  readonly parameters: number;
  /** As the publisher states them, in billions. */
  readonly billions: number;
  readonly bytesPerToken: number;
  /** Bytes of windows and of states, beside those that grow, of a sequence of 65,536 tokens. */
  readonly besides?: number;
}

const row = (own: Sizes, parameters: number, billions: number, fullLayers: number, window = 0): Row => ({
  ...{ config: json(own), parameters, billions, bytesPerToken: fullLayers * kvBytes(own) },
  besides: (own.layers - fullLayers) * window * kvBytes(own),
});

const ROWS: Readonly<Record<string, Row>> = {
  "Seed-OSS-36B": row(SEED_OSS, dense(SEED_OSS), 36.15, 64),
  "GLM-4-9B-0414": row(GLM4, dense(GLM4), 9.4, 40),
  "EXAONE-4.0-32B": row(EXAONE4, dense(EXAONE4), 32.0, 16, 4096),
  "Command R7B": row(COHERE2, dense(COHERE2), 8.03, 8, 4096),
  "StarCoder2-3B": row(STARCODER2, dense(STARCODER2, 2), 3.03, 0, 4096),
  "Apertus-8B": row(APERTUS, dense(APERTUS, 2), 8.05, 32),
  "BitNet b1.58 2B4T": row(BITNET, dense(BITNET), 2.41, 30),
  "ERNIE-4.5-0.3B": row(ERNIE, dense(ERNIE), 0.36, 18),
  "OLMoE-1B-7B": row(OLMOE, mixed(OLMOE, 64, 64 * 2048), 6.92, 16),
  "MiniMax-M2": row(MINIMAX, mixed(MINIMAX, 256, 256 * 3072), 228.7, 62),
  "Llama 4 Scout, its text model": row(SCOUT, mixed(SCOUT, 17, 16 * 5120), 107.8, 12, 8192),
  "GLM-4.5-Air, without the layer that predicts further": row(
    GLM45_AIR,
    2 * 151_552 * 4096 + 46 * attention(GLM45_AIR) + feedForward(GLM45_AIR) + 45 * (129 * 3 * 1408 + 128) * 4096,
    106.9,
    46,
  ),
  "Mistral Small 3.1, its text model": {
    ...row(MISTRAL_SMALL, dense(MISTRAL_SMALL), 23.57, 40),
    config: { model_type: "mistral3", text_config: json(MISTRAL_SMALL) },
  },
  "LFM2-8B-A1B": {
    ...row(LFM2_MOE, 0, 8.34, 6),
    parameters:
      65_536 * 2048 +
      (18 * 4 * 2048 + 6 * (2 * 32 + 2 * 8) * 64) * 2048 +
      2 * feedForward(LFM2_MOE) +
      22 * 32 * (3 * 1792 + 1) * 2048,
    // Two inputs of a convolution in f32.
    besides: 18 * 2 * 2048 * 4,
  },
  "DeepSeek-V2-Lite": {
    config: DEEPSEEK_V2_LITE,
    parameters:
      2 * 102_400 * 2048 +
      27 * 2048 * (16 * 192 + 576 + 16 * 128) +
      27 * 512 * 16 * 256 +
      3 * 2048 * 10_944 +
      26 * (66 * 3 * 1408 + 64) * 2048,
    billions: 15.7,
    bytesPerToken: 27 * 2 * (512 + 64),
  },
  "Pythia-1.4B": {
    config: PYTHIA,
    parameters: 2 * 50_304 * 2048 + 24 * 12 * 2048 ** 2,
    billions: 1.4146,
    bytesPerToken: 24 * 2 * 2 * 2048,
  },
  "Phi-2": {
    config: PHI2,
    parameters: 2 * 51_200 * 2560 + 32 * 12 * 2560 ** 2,
    billions: 2.78,
    bytesPerToken: 32 * 2 * 2 * 2560,
  },
};

it.each(Object.entries(ROWS))("%s", (_, { config, parameters, billions, bytesPerToken, besides = 0 }) => {
  const model = plannedModel(config, "config.json");
  const counted = weightMemory(model, "auto", "webgpu").parameters;
  expect(counted / parameters).toBeGreaterThanOrEqual(1);
  expect(counted / parameters).toBeLessThan(1.0012);
  expect(Math.abs(counted / 1e9 / billions - 1)).toBeLessThan(0.005);
  const cache = new CacheMemory(model, parseKvSpec("f16"));
  expect(cache.bytesPerToken).toBe(bytesPerToken);
  expect(cache.bytes(65_536)).toBe(65_536 * bytesPerToken + besides);
  expect(fixedStateBytes(model)).toBe(model.layers.some(({ slidingWindow }) => slidingWindow > 0) ? 0 : besides);
});

it("exact where publishers count each one", () => {
  const parameters = (config: object) => weightMemory(plannedModel(config, "config.json"), "auto", "webgpu").parameters;
  expect(parameters(PYTHIA)).toBe(1_414_647_808);
  expect(parameters(PHI2)).toBe(2_779_683_840);
});

/** Wrappers that leave out what the config class has as its default, as Gemma 3 was published. */
const GEMMA3: Readonly<
  Record<string, readonly [text: object, fullLayers: number, windows: number, layerBytes: number]>
> = {
  "4B: 8 heads, 4 of K and V, of 256": [
    { hidden_size: 2560, intermediate_size: 10_240, num_hidden_layers: 34, sliding_window: 1024 },
    ...([5, 29, 2 * 2 * 4 * 256] as const),
  ],
  "12B": [
    {
      ...{ hidden_size: 3840, intermediate_size: 15_360, num_hidden_layers: 48, sliding_window: 1024 },
      ...{ num_attention_heads: 16, num_key_value_heads: 8 },
    },
    ...([8, 40, 2 * 2 * 8 * 256] as const),
  ],
  "27B": [
    {
      ...{ hidden_size: 5376, intermediate_size: 21_504, num_hidden_layers: 62, sliding_window: 1024 },
      ...{ num_attention_heads: 32, num_key_value_heads: 16, head_dim: 128, query_pre_attn_scalar: 168 },
    },
    ...([10, 52, 2 * 2 * 16 * 128] as const),
  ],
};

it.each(Object.entries(GEMMA3))("Gemma 3 %s", (_, [text, fullLayers, windows, layerBytes]) => {
  const text_config = {
    ...{ model_type: "gemma3_text", rope_scaling: { factor: 8, rope_type: "linear" } },
    ...text,
  };
  const config = { model_type: "gemma3", text_config, vision_config: { model_type: "siglip_vision_model" } };
  const model = plannedModel(config, "config.json");
  expect(model).toMatchObject({ vocabSize: 262_208, maxPositionEmbeddings: 131_072 });
  const cache = new CacheMemory(model, parseKvSpec("f16"));
  expect(cache.bytesPerToken).toBe(fullLayers * layerBytes);
  expect(cache.bytes(65_536)).toBe((fullLayers * 65_536 + windows * 1024) * layerBytes);
});

it("Qwen3 without head_dim has heads of 128, whatever its width", () => {
  const { head_dim: _, ...config } = json({ ...APERTUS, type: "qwen3", hidden: 64, heads: 4, kvHeads: 2 }) as {
    readonly head_dim: number;
  };
  expect(new CacheMemory(plannedModel(config, "config.json"), parseKvSpec("f16")).bytesPerToken).toBe(
    32 * 2 * 2 * 2 * 128,
  );
});

it("a quantized mixture of experts, in the type that its config says", () => {
  const quantization_config = { quant_method: "fp8", weight_block_size: [128, 128] };
  const { bytes } = weightMemory(plannedModel({ ...json(OLMOE), quantization_config }, "config.json"), "auto", "wasm");
  // Codes of 8 bits with a scale of four bytes for 32; routers, embedding and head in bf16, norms in f32.
  const matrices = 16 * (attention(OLMOE) + 64 * feedForward(OLMOE));
  const plain = 16 * 64 * 2048 + 2 * 50_304 * 2048;
  const norms = 16 * (2 * 2048 + 2 * 2048) + 2048;
  expect(bytes).toBe((matrices * 36) / 32 + 2 * plain + 4 * norms);
});
