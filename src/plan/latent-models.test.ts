/** @file Models with latent attention: bytes of a token and parameters by hand, and what is refused of their configs. */
import { describe, expect, it } from "vitest";
import { parseModelConfig } from "../models/config.ts";
import { layoutOf, numParameters } from "../models/layout.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { CacheMemory } from "./cache-memory.ts";
import { plannedModel } from "./planned-model.ts";

/** As published, without its tensors of prediction heads and its quantization. */
const DEEPSEEK_V3 = {
  model_type: "deepseek_v3",
  hidden_size: 7168,
  num_hidden_layers: 61,
  num_attention_heads: 128,
  num_key_value_heads: 128,
  intermediate_size: 18_432,
  moe_intermediate_size: 2048,
  n_routed_experts: 256,
  n_shared_experts: 1,
  num_experts_per_tok: 8,
  first_k_dense_replace: 3,
  moe_layer_freq: 1,
  n_group: 8,
  topk_group: 4,
  kv_lora_rank: 512,
  q_lora_rank: 1536,
  qk_nope_head_dim: 128,
  qk_rope_head_dim: 64,
  v_head_dim: 128,
  vocab_size: 129_280,
  rms_norm_eps: 1e-6,
  rope_theta: 10_000,
  max_position_embeddings: 163_840,
  tie_word_embeddings: false,
  rope_scaling: {
    type: "yarn",
    factor: 40,
    original_max_position_embeddings: 4096,
    beta_fast: 32,
    beta_slow: 1,
    mscale: 1,
    mscale_all_dim: 1,
  },
};

const parse = (changes: object) => parseModelConfig({ ...DEEPSEEK_V3, ...changes }, "config.json");

describe("DeepSeek-V3", () => {
  it.each([
    ["f16", 1152],
    ["k8v8", 512 + 2 + 128],
    ["k4v4", 256 + 2 + 128],
    ["k4v8", 256 + 2 + 128],
  ])("%s: %d bytes a token and layer", (kv, bytes) => {
    const cache = new CacheMemory(plannedModel(DEEPSEEK_V3, "config.json"), parseKvSpec(kv));
    expect(cache.bytesPerToken).toBe(61 * bytes);
    expect([cache.calibrationBytes, cache.hostBytes], "no calibration").toEqual([0, 0]);
    expect(parse({}).latent).toMatchObject({ kvRank: 512, ropeDim: 64 });
  });

  it("671 billion parameters", () => {
    const attention = 7168 * 1536 + 1536 * 128 * 192 + 7168 * 576 + 512 * 128 * 256 + 128 * 128 * 7168;
    const norms = 1536 + 512 + 2 * 7168;
    const dense = 3 * 7168 * 18_432;
    const mixture = 257 * 3 * 7168 * 2048 + 256 * 7168 + 256;
    const expected = 2 * 129_280 * 7168 + 7168 + 61 * (attention + norms) + 3 * dense + 58 * mixture;
    expect(numParameters(layoutOf(parse({})))).toBe(expected);
    expect(expected / 1e9).toBeCloseTo(671.03, 2);
  });

  it("YaRN's factor goes into the scale, twice", () => {
    const factor = 0.1 * Math.log(40) + 1;
    expect(parse({}).latent!.scale).toBeCloseTo(factor ** 2 / Math.sqrt(192), 12);
    expect(parse({ rope_scaling: null }).latent!.scale).toBeCloseTo(1 / Math.sqrt(192), 12);
  });

  it.each([
    [{ kv_lora_rank: 1024 }, /kv_lora_rank: expected at most 576 with qk_rope_head_dim \(64\), got 1024/],
    [{ qk_rope_head_dim: 21 }, /qk_rope_head_dim: expected an even number/],
    [{ kv_lora_rank: "512" }, /kv_lora_rank: expected a number/],
    [{ n_group: 7 }, /n_group: expected a divisor of the number of experts \(256\)/],
    [{ model_type: "deepseek_v2", topk_method: "noaux_tc" }, /topk_method: expected greedy or group_limited_greedy/],
    [{ model_type: "deepseek_v2", mlp_bias: true }, /mlp_bias: biases of feed-forwards beside experts/],
  ])("%j is refused", (changes, message) => {
    expect(() => parse(changes)).toThrow(message);
  });
});

describe("latent attention with an indexer, and twice a layer", () => {
  const { moe_layer_freq: _, ...rest } = DEEPSEEK_V3;
  const V32 = { ...rest, model_type: "deepseek_v32", index_topk: 2048, index_head_dim: 128, index_n_heads: 64 };
  const GLM5 = {
    ...{ ...rest, model_type: "glm_moe_dsa", hidden_size: 6144, num_hidden_layers: 78, num_attention_heads: 64 },
    num_key_value_heads: 64,
    ...{ q_lora_rank: 2048, qk_nope_head_dim: 192, v_head_dim: 256, n_group: 1, topk_group: 1, rope_scaling: null },
    ...{ index_n_heads: 32, index_topk_freq: 4, index_skip_topk_offset: 3 },
  };
  const LONGCAT = {
    ...{ model_type: "longcat_flash", hidden_size: 6144, num_layers: 28, num_attention_heads: 64 },
    ...{ ffn_hidden_size: 12_288, expert_ffn_hidden_size: 2048, n_routed_experts: 512, zero_expert_num: 256 },
    ...{ moe_topk: 12, vocab_size: 131_072, max_position_embeddings: 131_072 },
    ...{ q_lora_rank: 1536, kv_lora_rank: 512, qk_nope_head_dim: 128, qk_rope_head_dim: 64, v_head_dim: 128 },
  };
  const bytesOf = (config: object, kv: string): number =>
    new CacheMemory(plannedModel(config, "config.json"), parseKvSpec(kv)).bytesPerToken;

  it("an index key of 128 beside each latent row: half of it is coded, the rotary half is not", () => {
    expect(bytesOf(V32, "f16")).toBe(61 * (1152 + 256));
    expect(bytesOf(V32, "k8v8")).toBe(61 * (512 + 2 + 128 + 64 + 2 + 128));
  });

  it("layers that attend to tokens which others chose have no index keys", () => {
    // Layers 0 to 2, and each fourth behind them.
    expect(bytesOf(GLM5, "f16")).toBe(78 * 1152 + 21 * 256);
  });

  it("560 billion parameters and two latent rows a layer", () => {
    expect(bytesOf(LONGCAT, "f16")).toBe(2 * 28 * 1152);
    const attention = 6144 * 1536 + 1536 * 64 * 192 + 6144 * 576 + 512 * 64 * 256 + 64 * 128 * 6144 + 1536 + 512;
    const dense = 3 * 6144 * 12_288;
    const mixture = 512 * 3 * 6144 * 2048 + 768 * 6144 + 768;
    const layer = 2 * attention + 2 * dense + mixture + 4 * 6144;
    const expected = 2 * 131_072 * 6144 + 6144 + 28 * layer;
    expect(numParameters(layoutOf(parseModelConfig(LONGCAT, "config.json")))).toBe(expected);
    expect(expected / 1e9).toBeCloseTo(560.66, 2);
  });

  it.each([
    [{ ...V32, index_head_dim: 64 }, /index_head_dim: expected a multiple of 8 above qk_rope_head_dim \(64\)/],
    [{ ...V32, q_lora_rank: null }, /q_lora_rank: an indexer reads the latents of queries/],
    [{ ...V32, layer_types: ["full_attention"] }, /layer_types: expected indexed_attention in all layers/],
    [{ ...GLM5, index_topk_pattern: "FS" }, /index_topk_pattern: expected a list of 78 times full or shared/],
    [
      { ...GLM5, indexer_types: Array(78).fill("shared") },
      /indexer_types: expected an indexer of its own in the first/,
    ],
    [{ ...LONGCAT, zero_expert_type: "constant" }, /zero_expert_type: expected identity/],
    [{ ...LONGCAT, q_lora_rank: null }, /q_lora_rank: queries without a latent/],
    [{ ...LONGCAT, num_layers: undefined, num_hidden_layers: 5 }, /num_hidden_layers: expected an even number/],
  ])("%#", (config, message) => {
    expect(() => parseModelConfig(config, "config.json")).toThrow(message);
  });
});
