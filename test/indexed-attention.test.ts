/**
 * @file Attention to tokens that an indexer chooses: sequences that are forked, cut, saved and restored, in batches and in several memories. What its
 * numbers are is in architectures.test.ts.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import type { Ops } from "../src/backends/ops.ts";
import { createWasmBackend } from "../src/backends/wasm/backend.ts";
import { restoreSequence, saveSequence } from "../src/cache/snapshot.ts";
import { Runner } from "../src/engine/runner.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { Decoder } from "../src/models/decoder.ts";
import { RandomCheckpoint } from "../src/models/random-weights.ts";
import { parseKvSpec } from "../src/quant/parse-kv-spec.ts";

const sizes = {
  ...{ hidden_size: 64, num_hidden_layers: 3, num_attention_heads: 4, intermediate_size: 48, vocab_size: 101 },
  ...{ max_position_embeddings: 1024, first_k_dense_replace: 3, tie_word_embeddings: true },
  ...{ q_lora_rank: 24, kv_lora_rank: 32, qk_nope_head_dim: 16, qk_rope_head_dim: 8, v_head_dim: 16 },
  ...{ index_topk: 20, index_head_dim: 16, index_n_heads: 4 },
};
const MODELS = [
  ["deepseek_v32", { ...sizes, model_type: "deepseek_v32" }],
  ["glm_moe_dsa", { ...sizes, model_type: "glm_moe_dsa", index_topk_pattern: "FSF" }],
  [
    "minimax_m3_vl_text",
    {
      ...{ model_type: "minimax_m3_vl_text", hidden_size: 64, num_hidden_layers: 3, num_attention_heads: 4 },
      ...{ num_key_value_heads: 2, head_dim: 16, dense_intermediate_size: 48, intermediate_size: 16, vocab_size: 101 },
      ...{ max_position_embeddings: 1024, num_local_experts: 4, num_experts_per_tok: 2, rotary_dim: 8 },
      ...{ shared_intermediate_size: 16, mlp_layer_types: ["dense", "dense", "sparse"], tie_word_embeddings: true },
      layer_types: ["full_attention", "minimax_m3_sparse", "minimax_m3_sparse"],
      ...{ index_n_heads: 2, index_head_dim: 16, index_block_size: 8, index_topk_blocks: 3 },
    },
  ],
  [
    "qwen4_exp_text",
    {
      ...{ model_type: "qwen4_exp_text", hidden_size: 64, num_hidden_layers: 3, num_attention_heads: 4 },
      ...{ num_key_value_heads: 2, head_dim: 16, vocab_size: 101, max_position_embeddings: 1024, hc_lowrank: 8 },
      ...{ linear_num_key_heads: 2, linear_num_value_heads: 4, linear_key_head_dim: 16, linear_value_head_dim: 16 },
      ...{ num_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 16, shared_expert_intermediate_size: 16 },
      layer_types: ["linear_attention", "full_attention", "full_attention"],
      ...{
        indexer_n_heads: 4,
        indexer_kv_heads: 1,
        indexer_head_dim: 24,
        indexer_budget: 20,
        indexer_compress_ratio: 4,
      },
      ...{ ple_layer_ids: [1], ple_embed_dim: 32, heads_per_ngram: 2, ngram_vocab_size_base: 50, split_ngram_parts: 2 },
      ...{ eos_token_id: 100, tie_word_embeddings: true },
    },
  ],
  [
    "deepseek_v4",
    {
      ...{ model_type: "deepseek_v4", hidden_size: 64, num_hidden_layers: 3, num_attention_heads: 4, head_dim: 32 },
      ...{ qk_rope_head_dim: 8, q_lora_rank: 24, o_groups: 2, o_lora_rank: 16, sliding_window: 24, vocab_size: 101 },
      ...{ n_routed_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 16, max_position_embeddings: 1024 },
      ...{ index_n_heads: 4, index_head_dim: 16, index_topk: 8, num_hash_layers: 1, tie_word_embeddings: true },
      compress_rates: { compressed_sparse_attention: 2, heavily_compressed_attention: 16 },
      layer_types: ["sliding_attention", "heavily_compressed_attention", "compressed_sparse_attention"],
    },
  ],
] as const;
const KV = "k8v8,sinks=2,window=24";
const text = Int32Array.from({ length: 170 }, (_, i) => (i * 37 + ((i * i) % 11)) % 101);

describe.each(MODELS)("%s", (_name, json) => {
  const config = parseModelConfig(json, "config.json");
  let ops: Ops;
  const load = (placement?: { readonly layers: readonly number[]; readonly head: number }) =>
    Decoder.load(ops, new RandomCheckpoint(json, "indexed"), {
      ...{ config, kv: parseKvSpec(KV), weights: "auto", ...(placement && { placement }) },
    });
  beforeAll(async () => {
    ops = await createWasmBackend({ threads: 1 });
  });
  afterAll(() => ops.dispose());

  it("a fork, a cut, a restored, a batched sequence and one in two memories give the bits of one that was never longer", async () => {
    const decoder = await load();
    const cache = decoder.createCache();
    const runner = new Runner(decoder, { contextLength: 1024, chunkTokens: 128 });
    const sequence = cache.createSequence();
    await runner.prefill(sequence, text.subarray(0, 100), { logits: "none" });
    sequence.mark();
    const fork = sequence.fork();
    const identity = { fingerprint: "f", kvSpec: KV };
    const restored = restoreSequence(cache, await saveSequence(sequence, identity), identity).sequence;
    const rest = text.subarray(100);
    const expected = await runner.prefill(sequence, rest, { logits: "last" });
    for (const other of [fork, restored]) {
      expect(await runner.prefill(other, rest, { logits: "last" })).toEqual(expected);
      other.release();
    }
    expect(sequence.cutTo(100)).toBe(100);
    const short = cache.createSequence();
    await runner.prefill(short, text.subarray(0, 30), { logits: "none" });
    const both = await runner.step([
      { sequence: short, tokens: [7], logits: "last" },
      { sequence, tokens: [...rest], logits: "last" },
    ]);
    expect(both.slice(config.vocabSize)).toEqual(expected);
    for (const each of [sequence, short]) each.release();
    expect(cache.numBytes).toBe(0);
    decoder.dispose();

    const apart = await load({ layers: [0, 1, 1], head: 0 });
    const own = apart.createCache().createSequence();
    const beside = new Runner(apart, { contextLength: 1024, chunkTokens: 128 });
    await beside.prefill(own, text.subarray(0, 100), { logits: "none" });
    expect(await beside.prefill(own, rest, { logits: "last" })).toEqual(expected);
    apart.dispose();
  });
});
