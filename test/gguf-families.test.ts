/** @file Files of GGUF architectures with experts, latent attention or states: config and tensors are those of the checkpoint they were made of. */
import { expect, it } from "vitest";
import "../src/node/install.ts";
import type { Checkpoint, TensorInfo } from "../src/formats/checkpoint.ts";
import { openCheckpoint } from "../src/formats/open-checkpoint.ts";
import { checkWeights } from "../src/models/check-weights.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { layoutOf, tensorSpecs } from "../src/models/layout.ts";
import { type WeightType, weightFormat } from "../src/weights/registry.ts";
import type { Written } from "./support/gguf-file.ts";
import { byteTokenizer, configMetadata, tensorsOf } from "./support/gguf-model.ts";
import { sourceOf, tiny } from "./support/random-gguf.ts";
import { seededCheckpoint } from "./support/seeded-checkpoint.ts";

type Keys = Readonly<Record<string, Written>>;
type Case = readonly [architecture: string, modelType: string, fields: object, keys: Keys];

const EPS = 2 ** -10;
const u32 = (value: number): Written => ({ u32: value });
const on: Written = { bool: true };

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

const CASES: readonly Case[] = [
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

it.each(CASES)("%s is %s", async (architecture, modelType, fields, keys) => {
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
  const own = new Set(more.map(([key]) => key));
  const known = configMetadata(config as never, architecture).filter(([key]) => !own.has(key));
  const metadata = [...known, ...more, ...byteTokenizer];
  const read = await openCheckpoint(sourceOf({ metadata, tensors: await tensorsOf(checkpoint, architecture) }));
  const [wanted, got] = [config, await read.config()].map((json) => parseModelConfig(json, modelType));
  for (const field of ["modelType", "traits", "names", "normEps", "rope", "latent", "intermediateSize"] as const)
    expect(got![field], field).toEqual(wanted![field]);
  for (let layer = 0; layer < tiny.num_hidden_layers; layer++)
    expect(got!.expertsOf(layer)).toEqual(wanted!.expertsOf(layer));
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
    const [own, wanted] = [await values(read), await values(checkpoint)];
    // An exponential and its logarithm come to the same number but for its last bits.
    expect(
      own.every((value, i) => Math.abs(value - wanted[i]!) < 1e-6),
      name,
    ).toBe(true);
  }
  await checkWeights(read, got!);
});
