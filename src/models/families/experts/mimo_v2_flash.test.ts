/** @file MiMo V2 Flash's config as published and as Transformers writes it: the same layers. */
import { expect, it } from "vitest";
import { parseModelConfig } from "../../config.ts";
import { layoutOf, stateShapes } from "../../layout.ts";

const SIZES = {
  model_type: "mimo_v2_flash",
  hidden_size: 64,
  num_hidden_layers: 3,
  num_attention_heads: 8,
  num_key_value_heads: 2,
  head_dim: 48,
  v_head_dim: 32,
  intermediate_size: 64,
  moe_intermediate_size: 16,
  n_routed_experts: 8,
  num_experts_per_tok: 2,
  vocab_size: 320,
  attention_value_scale: 0.5,
};

const PUBLISHED = {
  ...SIZES,
  layernorm_epsilon: 1e-4,
  hybrid_layer_pattern: [0, 1, 0],
  moe_layer_freq: [0, 1, 1],
  sliding_window_size: 23,
  swa_num_key_value_heads: 4,
  swa_head_dim: 48,
  swa_v_head_dim: 32,
  rope_theta: 1e6,
  swa_rope_theta: 5e3,
  partial_rotary_factor: 0.334,
  add_swa_attention_sink_bias: true,
  routed_scaling_factor: null,
};

const parse = (json: object) => parseModelConfig(json, "config.json");

it("as published", () => {
  const rope = (theta: number) => ({ rope_type: "default", rope_theta: theta, partial_rotary_factor: 0.334 });
  const written = parse({
    ...SIZES,
    rms_norm_eps: 1e-4,
    layer_types: ["full_attention", "sliding_attention", "full_attention"],
    mlp_layer_types: ["dense", "sparse", "sparse"],
    sliding_window: 24,
    rope_parameters: { full_attention: rope(1e6), sliding_attention: rope(5e3) },
  });
  const published = parse(PUBLISHED);
  expect(JSON.stringify(published)).toBe(JSON.stringify(written));
  expect(JSON.stringify(layoutOf(published))).toBe(JSON.stringify(layoutOf(written)));
  expect(published.ropeOf(1)).toEqual({ type: "default", theta: 5e3, rotaryDim: 16 });
  expect(stateShapes(layoutOf(published)).map(({ shape }) => shape)).toEqual([
    { kind: "kv", numKvHeads: 2, headDim: 48, valueDim: 32, slidingWindow: 0 },
    { kind: "kv", numKvHeads: 4, headDim: 48, valueDim: 32, slidingWindow: 24 },
    { kind: "kv", numKvHeads: 2, headDim: 48, valueDim: 32, slidingWindow: 0 },
  ]);
});

it("turns one coordinate more where a part of a head would be an odd number", () => {
  expect(parse({ ...PUBLISHED, head_dim: 16, swa_head_dim: 16 }).ropeOf(0)).toEqual({
    type: "default",
    theta: 1e6,
    rotaryDim: 6,
    exponentDim: 5,
  });
});

it.each([
  [{ hybrid_layer_pattern: [0, 2, 0] }, /hybrid_layer_pattern: expected a list of 0 and 1/],
  [{ swa_v_head_dim: 24 }, /swa_v_head_dim: expected 32, as on the other layers, got 24/],
  [{ swa_num_key_value_heads: 3 }, /swa_num_key_value_heads: expected a divisor of num_attention_heads \(8\)/],
])("%j is refused", (changes, message) => {
  expect(() => parse({ ...PUBLISHED, ...changes })).toThrow(message);
});
