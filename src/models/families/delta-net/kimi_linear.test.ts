/** @file What published configs of Kimi Linear and Ling 3 say and leave out. Logits are compared in test/seeded-architectures.test.ts. */
import { expect, it } from "vitest";
import { parseModelConfig } from "../../config.ts";
import { layoutOf } from "../../layout.ts";

const kimi = {
  model_type: "kimi_linear",
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_experts: 8,
  linear_attn_config: {
    full_attn_layers: [3],
    kda_layers: [1, 2, 4],
    head_dim: 12,
    num_heads: 3,
    short_conv_kernel_size: 3,
  },
  rope_theta: 10_000,
};
const ling = {
  model_type: "bailing_hybrid",
  hidden_size: 64,
  num_hidden_layers: 4,
  num_attention_heads: 4,
  num_experts: 16,
  head_dim: 24,
  layer_group_size: 2,
  short_conv_kernel_size: 3,
};
const layersOf = (json: object) => layoutOf(parseModelConfig(json, "config.json")).layers;
const blocks = (json: object) => layersOf(json).map(([mixer]) => mixer!.block.state!.kind);
/** Shapes of a weight's tensors. */
const shapes = (json: object, layer: number, weight: string) =>
  layersOf(json)[layer]![0]!.block.weights[weight]!.tensors.map(({ name, shape }) => [name, ...shape]);

it("Kimi lists its layers from 1 on, and the heads of delta attention beside them", () => {
  expect(blocks(kimi)).toEqual(["recurrent", "recurrent", "kv", "recurrent"]);
  expect(shapes(kimi, 0, "decayUp")).toEqual([["model.layers.0.self_attn.f_b_proj.weight", 36, 12]]);
  expect(shapes(kimi, 0, "taps")[2]).toEqual(["model.layers.0.self_attn.v_conv1d.weight", 36, 1, 3]);
  expect(parseModelConfig(kimi, "config.json").ropeOf(2)).toEqual({ type: "none" });
  const { linear_attn_config: _, ...plain } = kimi;
  expect(blocks({ ...plain, num_hidden_layers: 5 })).toEqual([...Array<string>(4).fill("recurrent"), "kv"]);
});

it("dense feed-forwards of Kimi have either of two names", () => {
  const { tensors, forms } = layersOf(kimi)[0]![1]!.block.weights["down"]!;
  expect([tensors, ...forms!].map(([tensor]) => tensor!.name)).toEqual([
    "model.layers.0.mlp.down_proj.weight",
    "model.layers.0.block_sparse_moe.down_proj.weight",
  ]);
});

it("Ling has attention at the end of each group, and heads of head_dim where none are said for delta attention", () => {
  expect(blocks(ling)).toEqual(["recurrent", "kv", "recurrent", "kv"]);
  expect(shapes(ling, 0, "norm")).toEqual([["model.layers.0.attention.o_norm.weight", 24]]);
  expect(shapes({ ...ling, head_dim: 64, linear_head_dim: 20 }, 0, "norm")[0]).toContain(20);
  expect(shapes(ling, 0, "taps")[0]).toEqual(["model.layers.0.attention.q_conv1d.weight", 96, 1, 3]);
  expect(parseModelConfig(ling, "config.json").ropeOf(1)).toMatchObject({ type: "default", theta: 6e6 });
  const rope_parameters = { rope_type: "default", rope_theta: 1e4, partial_rotary_factor: 0.5 };
  for (const half of [{ partial_rotary_factor: 0.5 }, { rope_parameters }])
    expect(parseModelConfig({ ...ling, ...half }, "config.json").ropeOf(1)).not.toHaveProperty("rotaryDim");
});

it.each([
  [{ mla_use_nope: false }, /mla_use_nope: latent attention with rope is not supported/],
  [{ moe_router_activation_func: "softmax" }, /moe_router_activation_func: expected sigmoid/],
  [{ hidden_act: "gelu" }, /hidden_act: delta nets are computed with silu alone/],
  [{ linear_attn_config: { full_attn_layers: [1], kda_layers: [2, 3] } }, /kda_layers: expected each layer in one/],
  [{ linear_attn_config: { kda_layers: [1] } }, /linear_attn_config.full_attn_layers: expected a list of layers/],
])("%j of Kimi is refused", (more, message) => {
  expect(() => parseModelConfig({ ...kimi, ...more }, "config.json")).toThrow(message);
});
