/** @file Files of GGUF architectures with experts, latent attention or states: config and tensors are those of the checkpoint they were made of. */
import { expect, it } from "vitest";
import "../src/node/install.ts";
import type { Checkpoint, TensorInfo } from "../src/formats/checkpoint.ts";
import { openCheckpoint } from "../src/formats/open-checkpoint.ts";
import { checkWeights } from "../src/models/check-weights.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { layoutOf, tensorSpecs } from "../src/models/layout.ts";
import { type WeightType, weightFormat } from "../src/weights/registry.ts";
import type { Written, WrittenTensor } from "./support/gguf-file.ts";
import { byteTokenizer, configMetadata, tensorsOf } from "./support/gguf-model.ts";
import { sourceOf, tiny } from "./support/random-gguf.ts";
import { seededCheckpoint } from "./support/seeded-checkpoint.ts";

type Keys = Readonly<Record<string, Written>>;
type Case = readonly [architecture: string, modelType: string, fields: object, keys: Keys, more?: WrittenTensor[]];

const EPS = 2 ** -10;
const u32 = (value: number): Written => ({ u32: value });
const on: Written = { bool: true };
const off: Written = { bool: false };

/** Four experts, of which two are chosen, behind one dense layer. */
const mixture = {
  fields: {
    ...{ num_experts: 4, num_experts_per_tok: 2, moe_intermediate_size: 32, first_k_dense_replace: 1 },
    ...{ n_shared_experts: 1, norm_topk_prob: true, routed_scaling_factor: 2.5, n_group: 2, topk_group: 1 },
  },
  keys: {
    ...{ expert_count: u32(4), expert_used_count: u32(2), expert_feed_forward_length: u32(32) },
    ...{ leading_dense_block_count: u32(1), expert_shared_count: u32(1), expert_weights_norm: on },
    ...{ expert_weights_scale: { f32: 2.5 }, expert_group_count: u32(2), expert_group_used_count: u32(1) },
  },
};
const sigmoid = { ...mixture, keys: { ...mixture.keys, expert_gating_func: u32(2) } };
const softmax = {
  fields: {
    ...{ ...mixture.fields, n_group: 1, topk_group: 1, n_shared_experts: 2, scoring_func: "softmax" },
    ...{ head_dim: 16, partial_rotary_factor: 1 },
  },
  // Of one expert, as published files have it.
  keys: { ...mixture.keys, expert_group_count: u32(1), expert_group_used_count: u32(1) },
};
const plain = {
  fields: { ...mixture.fields, n_group: 1 },
  keys: { ...sigmoid.keys, expert_group_count: u32(1) },
};

const latent = {
  fields: {
    ...{ kv_lora_rank: 32, q_lora_rank: 16, qk_rope_head_dim: 8, qk_nope_head_dim: 16, v_head_dim: 16 },
    ...{ head_dim: 8, num_key_value_heads: 4 },
  },
  keys: {
    ...{ "attention.kv_lora_rank": u32(32), "attention.q_lora_rank": u32(16), "rope.dimension_count": u32(8) },
    ...{ "attention.key_length": u32(24), "attention.value_length": u32(16) },
  },
};
const split = {
  fields: { ...latent.fields, split_kv_b_proj: true },
  keys: {
    ...latent.keys,
    ...{ "attention.key_length": u32(40), "attention.value_length": u32(32) },
    ...{ "attention.key_length_mla": u32(24), "attention.value_length_mla": u32(16) },
  },
};

const deltaNet = {
  fields: {
    ...{ linear_num_key_heads: 2, linear_num_value_heads: 4, linear_key_head_dim: 8, linear_value_head_dim: 8 },
    ...{ linear_conv_kernel_dim: 4, norm_offset: 0, head_dim: 16, partial_rotary_factor: 0.5 },
    layer_types: ["linear_attention", "full_attention"],
  },
  keys: {
    ...{ "ssm.state_size": u32(8), "ssm.group_count": u32(2), "ssm.time_step_rank": u32(4) },
    ...{ "ssm.inner_size": u32(32), "ssm.conv_kernel": u32(4), "rope.dimension_count": u32(8) },
  },
};
const qwenExperts = {
  fields: { ...mixture.fields, shared_expert_intermediate_size: 16 },
  keys: { ...mixture.keys, expert_shared_feed_forward_length: u32(16) },
};

/** Mamba-2 of 8 heads of 16, in the first layer. */
const mamba = {
  fields: {
    ...{ mamba_n_heads: 8, mamba_d_head: 16, mamba_n_groups: 2, mamba_d_state: 8, mamba_d_conv: 4, mamba_expand: 2 },
    layer_types: ["mamba", "attention"],
  },
  keys: {
    ...{ "ssm.inner_size": u32(128), "ssm.time_step_rank": u32(8), "ssm.group_count": u32(2) },
    ...{ "ssm.state_size": u32(8), "ssm.conv_kernel": u32(4) },
  },
};
/** The first layer has no attention. */
const kvHeads: Keys = { "attention.head_count_kv": { i32s: [0, 2] } };

/** A window in the first layer, which has other heads. */
const gemma4 = {
  fields: {
    ...{ layer_types: ["sliding_attention", "full_attention"], sliding_window: 24, final_logit_softcapping: 8 },
    ...{ head_dim: 16, global_head_dim: 32, num_global_key_value_heads: 1, attention_k_eq_v: true },
    ...{ hidden_size_per_layer_input: 16, vocab_size_per_layer_input: tiny.vocab_size, tie_word_embeddings: true },
    ...{ enable_moe_block: true, num_experts: 4, top_k_experts: 2, moe_intermediate_size: 32 },
    rope_parameters: {
      full_attention: { rope_type: "proportional", rope_theta: 1e6, partial_rotary_factor: 0.25 },
      sliding_attention: { rope_type: "default", rope_theta: 1e4 },
    },
  },
  keys: {
    ...{ "attention.key_length": u32(32), "attention.value_length": u32(32), "rope.dimension_count": u32(32) },
    ...{ "attention.key_length_swa": u32(16), "attention.value_length_swa": u32(16) },
    ...{ "attention.head_count_kv": { i32s: [2, 1] }, "attention.sliding_window_pattern": { bools: [true, false] } },
    ...{ "rope.freq_base": { f32: 1e6 }, "rope.freq_base_swa": { f32: 1e4 }, "rope.dimension_count_swa": u32(16) },
    ...{ "attention.shared_kv_layers": u32(0), embedding_length_per_layer_input: u32(16) },
    ...{ expert_count: u32(4), expert_used_count: u32(2), expert_feed_forward_length: u32(32) },
    final_logit_softcapping: { f32: 8 },
  },
};
const turned = Float32Array.from({ length: 16 }, (_, pair) => (pair < 4 ? 1 : 1e30));

/** The second layer attends to the tokens that the first one chose, where a model has such layers. */
const indexed = (second: "full" | "shared"): readonly [fields: object, keys: Keys] => [
  {
    ...{ ...split.fields, ...mixture.fields, mlp_layer_types: ["dense", "sparse"] },
    ...{ index_n_heads: 2, index_head_dim: 16, index_topk: 8, indexer_types: ["full", second] },
  },
  {
    ...{ ...split.keys, ...sigmoid.keys, "attention.indexer.head_count": u32(2) },
    ...{ "attention.indexer.key_length": u32(16), "attention.indexer.top_k": u32(8) },
  },
];

const CASES: readonly Case[] = [
  ["deepseek32", "deepseek_v32", ...indexed("full")],
  ["glm-dsa", "glm_moe_dsa", ...indexed("shared")],
  [
    "gemma4",
    "gemma4_text",
    gemma4.fields,
    gemma4.keys,
    [{ name: "rope_freqs.weight", type: 0, shape: [16], data: new Uint8Array(turned.buffer) }],
  ],
  [
    "mimo2",
    "mimo_v2_flash",
    {
      ...plain.fields,
      ...{ layer_types: ["full_attention", "sliding_attention"], sliding_window: 24, partial_rotary_factor: 0.5 },
      ...{ head_dim: 16, v_head_dim: 8, num_key_value_heads: 1, swa_num_key_value_heads: 2 },
      ...{ mlp_layer_types: ["dense", "sparse"], n_shared_experts: 0, attention_value_scale: 0.5 },
    },
    {
      ...{ ...plain.keys, expert_shared_count: u32(0), "attention.value_scale": { f32: 0.5 } },
      ...{ "attention.key_length": u32(16), "attention.value_length": u32(8), "rope.dimension_count": u32(8) },
      ...{ "attention.head_count_kv": { i32s: [1, 2] }, "attention.sliding_window_pattern": { i32s: [0, 1] } },
    },
  ],
  [
    "bailingmoe3",
    "bailing_hybrid",
    {
      ...{ ...split.fields, ...mixture.fields, kda_safe_gate: true, kda_lower_bound: -5 },
      ...{ layer_types: ["linear_attention", "full_attention"], linear_num_heads: 4, linear_head_dim: 16 },
      linear_conv_kernel_dim: 4,
    },
    {
      ...{ ...split.keys, ...sigmoid.keys, "attention.head_count_kv": { i32s: [0, 1] } },
      ...{ "kda.head_dim": u32(16), "kda.gate_lower_bound": { f32: -5 }, "ssm.conv_kernel": u32(4) },
    },
  ],
  [
    "deepseek2",
    "deepseek_v2",
    { ...latent.fields, ...mixture.fields, topk_method: "group_limited_greedy" },
    { ...latent.keys, ...mixture.keys },
  ],
  ["deepseek2", "deepseek_v3", { ...split.fields, ...mixture.fields }, { ...split.keys, ...sigmoid.keys }],
  ["minicpm3", "minicpm3", latent.fields, latent.keys],
  [
    "glm4moe",
    "glm4_moe",
    { ...mixture.fields, head_dim: 16, use_qk_norm: true, partial_rotary_factor: 0.5 },
    sigmoid.keys,
  ],
  [
    "command-r",
    "cohere",
    { head_dim: 16, layer_norm_eps: EPS, logit_scale: 0.25, tie_word_embeddings: true },
    { "attention.layer_norm_epsilon": { f32: EPS }, logit_scale: { f32: 0.25 } },
  ],
  [
    "bailingmoe2",
    "glm4_moe",
    { ...mixture.fields, n_shared_experts: 2, head_dim: 16, use_qk_norm: true, partial_rotary_factor: 0.5 },
    { ...sigmoid.keys, "rope.dimension_count": u32(8) },
  ],
  ["deepseek", "glm4_moe", { ...softmax.fields, norm_topk_prob: false }, { ...softmax.keys, expert_weights_norm: off }],
  [
    "bailingmoe",
    "glm4_moe",
    { ...softmax.fields, first_k_dense_replace: 0 },
    { ...softmax.keys, leading_dense_block_count: u32(0) },
  ],
  [
    "minimax-m2",
    "minimax_m2",
    { ...plain.fields, head_dim: 16, rotary_dim: 8, intermediate_size: 32 },
    { ...plain.keys, "rope.dimension_count": u32(8) },
  ],
  ["dots1", "dots1", mixture.fields, sigmoid.keys],
  [
    "ernie4_5-moe",
    "ernie4_5_moe",
    { ...plain.fields, moe_layer_start_index: 1 },
    { ...plain.keys, expert_gating_func: u32(1) },
  ],
  [
    "lfm2moe",
    "lfm2_moe",
    {
      ...plain.fields,
      num_dense_layers: 1,
      conv_L_cache: 3,
      norm_eps: EPS,
      layer_types: ["conv", "full_attention"],
      tie_word_embeddings: false,
    },
    { ...plain.keys, ...kvHeads, "shortconv.l_cache": u32(3) },
  ],
  ["qwen35", "qwen3_5_text", { ...deltaNet.fields, linear_value_heads_tiled: true }, deltaNet.keys],
  [
    "qwen35moe",
    "qwen3_5_moe_text",
    { ...deltaNet.fields, ...qwenExperts.fields, linear_value_heads_tiled: true },
    { ...deltaNet.keys, ...qwenExperts.keys },
  ],
  ["qwen3next", "qwen3_next", { ...deltaNet.fields, ...qwenExperts.fields }, { ...deltaNet.keys, ...qwenExperts.keys }],
  [
    "falcon-h1",
    "falcon_h1",
    { ...mamba.fields, head_dim: 16, mamba_d_ssm: 128, mamba_rms_norm: true, mamba_norm_before_gate: false },
    mamba.keys,
  ],
];

/** With numbers in all tensors that the config calls for. */
function checkpointOf(config: object): Checkpoint {
  const specs = tensorSpecs(layoutOf(parseModelConfig(config, "config")));
  const tensors = Object.fromEntries([...specs].map(([name, { shape }]) => [name, shape]));
  return seededCheckpoint({ config, tensors, ids: [], logit_l2: [], probe: [], probe_logits: [] });
}

/** The matrices of all experts in one tensor, as files have them. */
async function withStackedExperts(checkpoint: Checkpoint): Promise<Pick<Checkpoint, "config" | "tensors" | "read">> {
  const stacks = new Map<string, string[]>();
  const tensors = new Map<string, TensorInfo>();
  for (const info of (await checkpoint.tensors()).values()) {
    const [, before, after] = /^(.*\.experts)\.\d+(\..*)$/.exec(info.name) ?? [];
    const name = before === undefined ? info.name : before + after;
    const parts = [...(stacks.get(name) ?? []), info.name];
    stacks.set(name, parts);
    if (before === undefined) tensors.set(name, info);
    else
      tensors.set(name, {
        ...info,
        name,
        shape: [parts.length, ...info.shape],
        numBytes: parts.length * info.numBytes,
      });
  }
  const read = async (name: string) => new Uint8Array(await new Blob(await all(name)).arrayBuffer());
  const all = (name: string) =>
    Promise.all(stacks.get(name)!.map((part) => checkpoint.read(part) as Promise<Uint8Array<ArrayBuffer>>));
  return { config: () => checkpoint.config(), tensors: async () => tensors, read };
}

it.each(CASES.map((own) => [own[0], own[1], own] as const))("%s is %s", async (architecture, modelType, own) => {
  const [, , fields, keys, others = []] = own;
  const config = {
    model_type: modelType,
    ...tiny,
    rms_norm_eps: EPS,
    rope_theta: 10_000,
    tie_word_embeddings: false,
    ...fields,
  };
  const checkpoint = await withStackedExperts(checkpointOf(config));
  const more = Object.entries(keys).map(([key, value]): [string, Written] => [`${architecture}.${key}`, value]);
  const changed = new Set(more.map(([key]) => key));
  const known = configMetadata(config as never, architecture).filter(([key]) => !changed.has(key));
  const metadata = [...known, ...more, ...byteTokenizer];
  const tensorsInFile = [...(await tensorsOf(checkpoint, architecture)), ...others];
  const read = await openCheckpoint(sourceOf({ metadata, tensors: tensorsInFile }));
  const [wanted, got] = [config, await read.config()].map((json) => parseModelConfig(json, modelType));
  for (const field of ["modelType", "traits", "names", "normEps", "rope", "latent", "intermediateSize"] as const)
    expect(got![field], field).toEqual(wanted![field]);
  for (let layer = 0; layer < tiny.num_hidden_layers; layer++) {
    expect(got!.expertsOf(layer)).toEqual(wanted!.expertsOf(layer));
    expect(got!.ropeOf(layer)).toEqual(wanted!.ropeOf(layer));
    expect(got!.slidingWindow(layer)).toBe(wanted!.slidingWindow(layer));
  }
  const tensors = await read.tensors();
  expect([...tensors.keys()].sort()).toEqual([...(await checkpoint.tensors()).keys()].sort());
  for (const { name, shape } of (await checkpoint.tensors()).values()) {
    expect(tensors.get(name), name).toMatchObject({ shape });
    const values = async (of: typeof checkpoint) => {
      const { dtype, numBytes } = (await of.tensors()).get(name)!;
      const count = shape.reduce((product, size) => product * size, 1);
      const out = new Float32Array(count);
      weightFormat(dtype as WeightType).dequantize(await of.read(name, 0, numBytes), 1, count, out);
      return out;
    };
    const [got, wanted] = [await values(read), await values(checkpoint)];
    // An exponential and its logarithm come to the same number but for its last bits.
    expect(
      got.every((value, i) => Math.abs(value - wanted[i]!) < 1e-6),
      name,
    ).toBe(true);
  }
  await checkWeights(read, got!);
});
