/** @file Configs of families with Mamba-2 layers: what is refused, and bytes of states by hand. */
import { describe, expect, it } from "vitest";
import { parseModelConfig } from "../models/config.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { CacheMemory } from "./cache-memory.ts";
import { fixedStateBytes } from "./model-memory.ts";
import { plannedModel } from "./planned-model.ts";
import { weightMemory } from "./weight-memory.ts";

const parse = (json: object) => parseModelConfig(json, "m/config.json");

const FALCON_H1_1_5B = {
  model_type: "falcon_h1",
  hidden_size: 2048,
  num_hidden_layers: 24,
  intermediate_size: 4096,
  num_attention_heads: 8,
  num_key_value_heads: 2,
  head_dim: 128,
  mamba_d_ssm: 3072,
  mamba_n_heads: 48,
  mamba_d_head: 64,
  mamba_d_state: 256,
  mamba_n_groups: 1,
  mamba_d_conv: 4,
  vocab_size: 65_537,
  max_position_embeddings: 131_072,
  rope_theta: 1e11,
  tie_word_embeddings: false,
};

const NEMOTRON_H_8B = {
  model_type: "nemotron_h",
  hidden_size: 4096,
  num_hidden_layers: 52,
  hybrid_override_pattern: "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-",
  intermediate_size: 21_504,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  head_dim: 128,
  mamba_num_heads: 128,
  mamba_head_dim: 64,
  n_groups: 8,
  ssm_state_size: 128,
  conv_kernel: 4,
  vocab_size: 131_072,
  max_position_embeddings: 8192,
};

const BAMBA_9B = {
  model_type: "bamba",
  hidden_size: 4096,
  num_hidden_layers: 32,
  intermediate_size: 14_336,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  attn_layer_indices: [9, 18, 27],
  mamba_n_heads: 128,
  mamba_d_head: 64,
  mamba_d_state: 128,
  mamba_n_groups: 1,
  mamba_expand: 2,
  vocab_size: 128_256,
};

/** With 40 layers, of which four attend, and no experts. */
const GRANITE_4_H_1B = {
  model_type: "granitemoehybrid",
  hidden_size: 1536,
  num_hidden_layers: 40,
  layer_types: Array.from({ length: 40 }, (_, layer) => ([5, 15, 25, 35].includes(layer) ? "attention" : "mamba")),
  num_local_experts: 0,
  shared_intermediate_size: 4096,
  num_attention_heads: 12,
  num_key_value_heads: 4,
  mamba_n_heads: 48,
  mamba_d_head: 64,
  mamba_d_state: 128,
  mamba_n_groups: 1,
  mamba_expand: 2,
  vocab_size: 100_352,
  max_position_embeddings: 131_072,
  tie_word_embeddings: true,
};

/** Two transformer blocks take turns before nine of the layers, with adapters in their feed-forwards. */
const ZAMBA2_2_7B = {
  model_type: "zamba2",
  hidden_size: 2560,
  num_hidden_layers: 54,
  num_attention_heads: 32,
  num_key_value_heads: 32,
  attention_head_dim: 160,
  intermediate_size: 10_240,
  n_mamba_heads: 80,
  mamba_headdim: 64,
  mamba_d_state: 64,
  mamba_expand: 2,
  mamba_ngroups: 1,
  num_mem_blocks: 2,
  adapter_rank: 128,
  vocab_size: 32_000,
};

describe("plans of published sizes", () => {
  /** Bytes of a Mamba-2 layer: inputs of the last three tokens, and the states, in f32. */
  const layerBytes = (heads: number, headDim: number, groups: number, states: number): number =>
    4 * (3 * (heads * headDim + 2 * groups * states) + heads * headDim * states);

  it.each([
    // 24 layers with both; K and V of two heads of 128 in f16.
    ["Falcon-H1-1.5B", FALCON_H1_1_5B, 24 * layerBytes(48, 64, 1, 256), 24 * 2 * 2 * 128 * 2, 1.5],
    // 24 layers of Mamba-2, 4 with attention, 24 feed-forwards.
    ["Nemotron-H-8B", NEMOTRON_H_8B, 24 * layerBytes(128, 64, 8, 128), 4 * 2 * 8 * 128 * 2, 8.1],
    ["Bamba-9B", BAMBA_9B, 29 * layerBytes(128, 64, 1, 128), 3 * 2 * 8 * 128 * 2, 9.78],
    // K and V of 32 heads of 160 in each of the nine uses; the weights of the two blocks count once.
    ["Zamba2-2.7B", ZAMBA2_2_7B, 54 * layerBytes(80, 64, 1, 64), 9 * 2 * 32 * 160 * 2, 2.69],
    ["Granite-4.0-H-1B", GRANITE_4_H_1B, 36 * layerBytes(48, 64, 1, 128), 4 * 2 * 4 * 128 * 2, 1.46],
  ] as const)("%s", (_, config, stateBytes, bytesPerToken, billions) => {
    const model = plannedModel(config, "m/config.json");
    expect(fixedStateBytes(model)).toBe(stateBytes);
    const cache = new CacheMemory(model, parseKvSpec("f16"));
    expect(cache.bytesPerToken).toBe(bytesPerToken);
    expect(cache.bytes(64) - cache.bytes(0)).toBe(64 * bytesPerToken);
    expect(cache.bytes(0)).toBe(stateBytes);
    expect(Math.abs(weightMemory(model, "auto", "wasm").parameters / 1e9 / billions - 1)).toBeLessThan(0.02);
  });
});

describe("bad configs of Mamba-2 layers", () => {
  it.each([
    [{ ...FALCON_H1_1_5B, mamba_n_heads: 49 }, /mamba_n_heads: expected a divisor of the 3072 channels/],
    [{ ...FALCON_H1_1_5B, mamba_d_head: 32 }, /mamba_d_head: expected 64, so that 48 heads have 3072 channels, got 32/],
    [{ ...FALCON_H1_1_5B, mamba_n_groups: 5 }, /mamba_n_groups: expected a divisor of mamba_n_heads \(48\), got 5/],
    [{ ...FALCON_H1_1_5B, ssm_multipliers: [1, 2, 3, 4] }, /ssm_multipliers: expected a list of 5 numbers/],
    [{ ...FALCON_H1_1_5B, mamba_d_conv: 9 }, /mamba_d_conv: expected a whole number from 2 to 8, got 9/],
    [{ ...FALCON_H1_1_5B, hidden_act: "gelu" }, /hidden_act: Mamba-2 layers are computed with silu alone/],
    [{ ...FALCON_H1_1_5B, time_step_limit: [0.1] }, /time_step_limit: expected two numbers/],
    [
      { ...BAMBA_9B, attn_layer_indices: [9, 32] },
      /attn_layer_indices: expected a list of numbers of layers, below 32/,
    ],
    [
      { ...NEMOTRON_H_8B, num_hidden_layers: 51 },
      /hybrid_override_pattern: expected 51 layers, as num_hidden_layers says/,
    ],
    [
      { ...NEMOTRON_H_8B, hybrid_override_pattern: "M-X" },
      /hybrid_override_pattern: expected only mamba \(M\), attention/,
    ],
    [
      { ...ZAMBA2_2_7B, layers_block_type: ["mamba", "hybrid"] },
      /layers_block_type: expected a list of 54 of mamba and hybrid/,
    ],
    [
      { ...ZAMBA2_2_7B, use_shared_attention_adapter: true, num_key_value_heads: 8 },
      /use_shared_attention_adapter: expected as many KV heads/,
    ],
    [{ ...ZAMBA2_2_7B, use_long_context: true, use_mem_rope: true }, /use_long_context: rope that is stretched/],
  ])("%#", (config, message) => {
    expect(() => parse(config)).toThrow(message);
  });

  it("takes limits of steps as files have them", () => {
    for (const limit of [null, [0, Number.POSITIVE_INFINITY], [0, "Infinity"], [0.001, { __float__: "Infinity" }]])
      expect(() => parse({ ...FALCON_H1_1_5B, time_step_limit: limit })).not.toThrow();
  });
});
