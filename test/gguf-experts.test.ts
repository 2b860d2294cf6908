/** @file Mixtures of experts in GGUF files, which have the matrices of all experts of a layer in one tensor. */
import { expect, it } from "vitest";
import "../src/node/install.ts";
import { openCheckpoint } from "../src/formats/open-checkpoint.ts";
import { checkWeights } from "../src/models/check-weights.ts";
import { parseModelConfig } from "../src/models/config.ts";
import type { Written, WrittenTensor } from "./support/gguf-file.ts";
import { byteTokenizer, configMetadata } from "./support/gguf-model.ts";
import { sourceOf, tiny } from "./support/random-gguf.ts";

const [EXPERTS, WIDTH, HIDDEN] = [4, 32, tiny.hidden_size];
const COMMON = { expert_count: { u32: EXPERTS }, expert_used_count: { u32: 2 } };
const CONFIG = { ...tiny, num_hidden_layers: 1, vocab_size: 8, head_dim: 16, rope_theta: 10_000 };

function tensor(name: string, ...shape: number[]): WrittenTensor {
  const values = new Float32Array(shape.reduce((product, size) => product * size, 1)).fill(0.5);
  return { name, type: 0, shape, data: new Uint8Array(values.buffer) };
}

const layer = (name: string, ...shape: number[]): WrittenTensor => tensor(`blk.0.${name}`, ...shape);
const BASE = [
  tensor("token_embd.weight", 8, HIDDEN),
  tensor("output_norm.weight", HIDDEN),
  layer("attn_norm.weight", HIDDEN),
  layer("attn_q.weight", 64, HIDDEN),
  layer("attn_k.weight", 32, HIDDEN),
  layer("attn_v.weight", 32, HIDDEN),
  layer("attn_output.weight", HIDDEN, 64),
  layer("ffn_gate_inp.weight", EXPERTS, HIDDEN),
  layer("ffn_gate_exps.weight", EXPERTS, WIDTH, HIDDEN),
  layer("ffn_up_exps.weight", EXPERTS, WIDTH, HIDDEN),
  layer("ffn_down_exps.weight", EXPERTS, HIDDEN, WIDTH),
];
const norm = layer("ffn_norm.weight", HIDDEN);
const qkvBiases = [layer("attn_q.bias", 64), layer("attn_k.bias", 32), layer("attn_v.bias", 32)];

it.each<[string, string, Readonly<Record<string, Written>>, readonly WrittenTensor[], object]>([
  [
    "qwen3moe",
    "qwen3_moe",
    { expert_feed_forward_length: { u32: WIDTH } },
    [norm, layer("attn_q_norm.weight", 16), layer("attn_k_norm.weight", 16)],
    { moe_intermediate_size: WIDTH, norm_topk_prob: true },
  ],
  [
    "qwen2moe",
    "qwen2_moe",
    { expert_feed_forward_length: { u32: WIDTH }, expert_shared_feed_forward_length: { u32: 16 } },
    [
      ...[norm, ...qkvBiases, layer("ffn_gate_inp_shexp.weight", HIDDEN), layer("ffn_gate_shexp.weight", 16, HIDDEN)],
      ...[layer("ffn_up_shexp.weight", 16, HIDDEN), layer("ffn_down_shexp.weight", HIDDEN, 16)],
    ],
    { shared_expert_intermediate_size: 16, norm_topk_prob: false },
  ],
  ["llama", "mixtral", { feed_forward_length: { u32: WIDTH } }, [norm], { num_local_experts: EXPERTS }],
  [
    "granitemoe",
    "granitemoe",
    { feed_forward_length: { u32: WIDTH }, logit_scale: { f32: 2 }, "attention.scale": { f32: 0.25 } },
    [norm],
    { logits_scaling: 2, attention_multiplier: 0.25 },
  ],
  [
    "olmoe",
    "olmoe",
    { feed_forward_length: { u32: WIDTH } },
    [norm, layer("attn_q_norm.weight", 64), layer("attn_k_norm.weight", 32)],
    { norm_topk_prob: false },
  ],
  [
    "gpt-oss",
    "gpt_oss",
    {
      ...{ expert_feed_forward_length: { u32: WIDTH }, "attention.sliding_window": { u32: 24 } },
      ...{ "rope.scaling.type": { string: "yarn" }, "rope.scaling.factor": { f32: 4 } },
    },
    [
      ...[...qkvBiases, layer("attn_output.bias", HIDDEN), layer("attn_sinks.weight", 4)],
      ...[layer("post_attention_norm.weight", HIDDEN), layer("ffn_gate_inp.bias", EXPERTS)],
      ...[layer("ffn_gate_exps.bias", EXPERTS, WIDTH), layer("ffn_up_exps.bias", EXPERTS, WIDTH)],
      layer("ffn_down_exps.bias", EXPERTS, HIDDEN),
    ],
    { sliding_window: 24, rope_scaling: { truncate: false } },
  ],
])("%s is %s, with all tensors that its config calls for", async (architecture, modelType, keys, more, fields) => {
  const own = Object.entries({ ...COMMON, ...keys });
  const known = configMetadata(CONFIG as never, architecture).filter(
    ([key]) => !own.some(([name]) => key === `${architecture}.${name}`),
  );
  const metadata = [
    ...known,
    ...own.map(([key, value]): [string, Written] => [`${architecture}.${key}`, value]),
    ...byteTokenizer,
  ];
  const read = await openCheckpoint(sourceOf({ metadata, tensors: [...BASE, ...more] }));
  const config = await read.config();
  expect(config).toMatchObject({ model_type: modelType, num_experts_per_tok: 2, ...fields });
  await checkWeights(read, parseModelConfig(config, architecture));
  const names = [...(await read.tensors()).keys()];
  expect(names).toHaveLength(BASE.length + more.length);
  const stored = [...BASE, ...more].map(({ name }) => name);
  expect(names.map((name) => read.nameInFile!(name)).sort()).toEqual(stored.sort());
});
