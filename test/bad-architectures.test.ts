/** @file Configs and files that no model has: each is one error that says what is wrong, what was expected, or what is missing. */
import { describe, expect, it } from "vitest";
import { checkWeights } from "../src/models/check-weights.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { layoutOf } from "../src/models/layout.ts";
import { seededCheckpoint, seededModel } from "./support/seeded-checkpoint.ts";

const parse = (name: string, changes: object) =>
  parseModelConfig({ ...seededModel(name).config, ...changes }, "m/config.json");

describe("a config that contradicts itself", () => {
  it.each<[model: string, changes: object, message: RegExp]>([
    ["qwen3", { num_key_value_heads: 3 }, /num_key_value_heads: expected a divisor of num_attention_heads/],
    ["qwen3", { num_hidden_layers: 0 }, /num_hidden_layers: expected/],
    ["qwen3_moe", { num_experts_per_tok: 99 }, /num_experts_per_tok: expected .*got 99/],
    ["deepseek_v3", { n_group: 3 }, /n_group: expected a divisor/],
    ["olmo3", { sliding_window: null }, /sliding_window: expected a window, as layer_types has sliding_attention/],
    ["llama4_text", { attention_chunk_size: null }, /attention_chunk_size: expected a number of positions/],
    [
      "qwen3_5_text",
      { linear_num_value_heads: 3 },
      /linear_num_value_heads: expected a multiple of linear_num_key_heads/,
    ],
    ["nemotron_h", { num_hidden_layers: 7 }, /layers_block_type: expected 7 layers, as num_hidden_layers says/],
    ["gemma4_text", { num_kv_shared_layers: 6 }, /num_kv_shared_layers: expected/],
    ["qwen4_exp_text", { indexer_n_heads: null }, /indexer_n_heads: expected a number, got nothing/],
    ["qwen4_exp_text", { indexer_budget: 30 }, /indexer_budget: expected a multiple of indexer_compress_ratio \(4\)/],
    ["qwen4_exp_text", { ple_layer_ids: [2] }, /ple_layer_ids: expected numbers of layers with linear_attention/],
    ["qwen4_exp_text", { ple_layer_ids: [9] }, /ple_layer_ids: expected numbers of layers .* from 1 to 4/],
    ["qwen4_exp_text", { ple_embed_dim: 30 }, /ple_embed_dim: expected a multiple of the 4 heads of n-grams/],
    ["qwen4_exp_text", { eos_token_id: null }, /eos_token_id: expected the token that ends texts/],
    ["qwen4_exp_text", { num_experts_per_tok: 7 }, /num_experts_per_tok: expected .*got 7/],
    ["deepseek_v4", { o_groups: 3 }, /o_groups: expected a divisor of num_attention_heads \(4\)/],
    ["deepseek_v4", { hc_mult: 1 }, /hc_mult: expected a whole number from 2/],
    [
      "deepseek_v4",
      { layer_types: null, compress_ratios: [0, 8, 4, 4] },
      /compress_ratios: expected a list of 4 times 0, 4 or 128/,
    ],
  ])("%s %j", (model, changes, message) => {
    expect(() => parse(model, changes)).toThrow(message);
  });
});

describe("a list of layers of another length", () => {
  it.each<[model: string, field: string, list: readonly unknown[]]>([
    ["qwen3", "layer_types", ["full_attention"]],
    ["olmo3", "layer_types", ["sliding_attention"]],
    ["gpt_oss", "layer_types", ["sliding_attention", "full_attention"]],
    ["llama4_text", "layer_types", ["chunked_attention"]],
    ["qwen3_5_text", "layer_types", ["linear_attention"]],
    ["qwen3_next", "layer_types", ["full_attention"]],
    ["lfm2", "layer_types", ["conv"]],
    ["lfm3", "layer_types", ["conv"]],
    ["kimi_linear", "layer_types", ["linear_attention"]],
    ["granitemoehybrid", "layer_types", ["mamba"]],
    ["gemma4_text", "layer_types", ["sliding_attention"]],
    ["mimo_v2_flash", "layer_types", ["full_attention"]],
    ["mimo_v2_flash", "mlp_layer_types", ["dense"]],
    ["qwen4_exp_text", "layer_types", ["linear_attention"]],
    ["deepseek_v4", "layer_types", ["sliding_attention"]],
    ["deepseek_v4", "mlp_layer_types", ["moe"]],
  ])("%s %s", (model, field, list) => {
    expect(() => parse(model, { [field]: list })).toThrow(
      new RegExp(`m/config\\.json: ${field}: expected a list of \\d+`),
    );
  });
});

describe("a variant that we do not have", () => {
  it.each<[model: string, changes: object, message: RegExp]>([
    ["qwen3", { layer_types: Array(4).fill("linear_attention") }, /layer_types: .*not "linear_attention"/],
    ["qwen3_moe", { hidden_act: "mish" }, /hidden_act: /],
    [
      "phi3",
      { rope_parameters: { rope_type: "su-scaled" } },
      /rope_type: this rope scaling is not supported; expected default/,
    ],
    ["qwen4_exp_text", { indexer_kv_heads: 2 }, /indexer_kv_heads: expected one key for all heads/],
    ["qwen4_exp_text", { indexer_head_dim: 4 }, /indexer_head_dim: expected at least the 8 coordinates/],
    ["qwen4_exp_text", { output_gate_type: "gelu" }, /output_gate_type: gates .* with sigmoid or silu/],
    [
      "qwen4_exp_text",
      { ngram_size: 8, ple_conv_kernel_size: 8, ple_embed_dim: 28 },
      /ple_conv_kernel_size: expected at most 4/,
    ],
    [
      "qwen4_exp_text",
      { ngram_vocab_size_base: 2 ** 30 },
      /ngram_vocab_size_base: expected tables of at most 2147483647 rows/,
    ],
    ["deepseek_v4", { num_key_value_heads: 2 }, /num_key_value_heads: expected one row for all heads/],
    ["deepseek_v4", { scoring_func: "tanh" }, /scoring_func: expected one of sqrtsoftplus, sigmoid/],
    ["glm4_moe", { scoring_func: "noaux_tc" }, /scoring_func: expected sigmoid or softmax/],
    ["deepseek_v4", { n_shared_experts: 2 }, /n_shared_experts: expected one feed-forward/],
    ["deepseek_v4", { attention_bias: true }, /attention_bias: expected false/],
    ["deepseek_v4", { index_head_dim: 4 }, /index_head_dim: expected at least the 8 coordinates/],
    ["nemotron_h", { layers_block_type: Array(4).fill("retention") }, /layers_block_type: expected only mamba/],
  ])("%s %j", (model, changes, message) => {
    // What layers are made of follows from the config alone, before any weights.
    expect(() => layoutOf(parse(model, changes))).toThrow(message);
  });
});

describe("a field that a family's models do not read", () => {
  it.each<[model: string, changes: object]>([
    // As published, beside a router of sigmoid.
    ["dots1", { scoring_func: "noaux_tc" }],
    ["deepseek_v3", { scoring_func: "softmax" }],
    ["exaone_moe", { scoring_func: "softmax" }],
  ])("%s %j", (model, changes) => {
    const written = (more: object): string => JSON.stringify([parse(model, more), layoutOf(parse(model, more))]);
    expect(written(changes)).toBe(written({}));
  });
});

describe("types without a text model of ours", () => {
  it.each<[config: object, message: RegExp]>([
    [{ model_type: "siglip_vision_model" }, /which is known and not yet supported: it needs image or audio inputs/],
    [{ model_type: "clip_vision_model" }, /it needs image or audio inputs/],
    [{ model_type: "siglip2" }, /it needs a text model: this is one of images or sounds alone/],
    [{ model_type: "gemma3", vision_config: {} }, /text_config: expected the config of the text model/],
    [{ model_type: "rwkv7" }, /it needs hybrid state-space/],
    [
      { model_type: "abacus" },
      /model_type: expected one of llama, .*got "abacus"; use a checkpoint of a supported type/,
    ],
    [{}, /model_type: expected a string/],
  ])("%j", (config, message) => {
    expect(() => parseModelConfig(config, "m/config.json")).toThrow(message);
  });
});

describe("tensors that a file does not have", () => {
  const without = async (name: string, pattern: RegExp): Promise<void> => {
    const model = seededModel(name);
    const kept = Object.entries(model.tensors).filter(([tensor]) => !pattern.test(tensor));
    expect(kept.length).toBeLessThan(Object.keys(model.tensors).length);
    const checkpoint = seededCheckpoint({ ...model, tensors: Object.fromEntries(kept) });
    await checkWeights(checkpoint, parseModelConfig(model.config, "m/config.json"));
  };

  it.each<[what: string, model: string, pattern: RegExp, message: RegExp]>([
    ["an expert", "qwen3_moe", /experts\.1\./, /experts\.1\.\S+ is missing/],
    [
      "stacked experts",
      "gpt_oss",
      /layers\.1\.mlp\.experts\.down_proj$/,
      /layers\.1\.mlp\.experts\.down_proj is missing/,
    ],
    ["a router", "mixtral", /layers\.0\.\S*gate\.weight$/, /gate\.weight is missing/],
    ["a convolution", "qwen3_5_text", /layers\.0\.linear_attn\.conv1d/, /conv1d\.weight is missing/],
    ["the matrix of decays", "jamba", /A_log/, /A_log is missing/],
    ["the keys of an indexer", "qwen4_exp_text", /layers\.1\.\S+index_qk_proj/, /index_qk_proj\.weight is missing/],
    ["a part of a hash table", "qwen4_exp_text", /shard_1/, /ngram_embedding\.shard_1\.weight is missing/],
    ["the indexer", "deepseek_v4", /indexer\.wq_b/, /layers\.2\.attn\.indexer\.wq_b\.weight is missing/],
    ["the experts of tokens", "deepseek_v4", /tid2eid/, /layers\.0\.ffn\.gate\.tid2eid is missing/],
    [
      "some experts",
      "deepseek_v4",
      /layers\.3\.ffn\.experts\.[45]/,
      /with \d+ more of the \d+ matrices of this layer's experts/,
    ],
    ["the latent's norm", "minicpm3", /kv_a_layernorm/, /kv_a_layernorm\.weight is missing/],
  ])("%s of %s", async (_, model, pattern, message) => {
    await expect(without(model, pattern)).rejects.toThrow(message);
  });

  it.each<[what: string, model: string, pattern: RegExp, shape: readonly number[], message: RegExp]>([
    ["a hash table", "qwen4_exp_text", /shard_0/, [200, 8], /shard_0\.weight: expected \[208,8\].*got \[200,8\]/],
    ["experts of tokens", "deepseek_v4", /tid2eid/, [300, 2], /tid2eid: expected \[320,2\].*got \[300,2\]/],
  ])("%s of another size", async (_, name, pattern, shape, message) => {
    const model = seededModel(name);
    const tensors = Object.entries(model.tensors).map(([tensor, own]) => [tensor, pattern.test(tensor) ? shape : own]);
    const checkpoint = seededCheckpoint({ ...model, tensors: Object.fromEntries(tensors) });
    const checked = checkWeights(checkpoint, parseModelConfig(model.config, "m/config.json"));
    await expect(checked).rejects.toThrow(message);
  });
});
