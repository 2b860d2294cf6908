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
    [{ qk_rope_head_dim: 20 }, /qk_rope_head_dim: expected a multiple of 8/],
    [{ kv_lora_rank: "512" }, /kv_lora_rank: expected a number/],
    [{ n_group: 7 }, /n_group: expected a divisor of the number of experts \(256\)/],
    [{ model_type: "deepseek_v2", topk_method: "noaux_tc" }, /topk_method: expected greedy or group_limited_greedy/],
    [{ model_type: "deepseek_v2", mlp_bias: true }, /mlp_bias: biases of feed-forwards beside experts/],
  ])("%j is refused", (changes, message) => {
    expect(() => parse(changes)).toThrow(message);
  });
});
