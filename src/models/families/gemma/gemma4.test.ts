/** @file What configs of Gemma 4 say and leave out. Logits are compared in test/seeded-architectures.test.ts. */
import { expect, it } from "vitest";
import { CacheMemory } from "../../../plan/cache-memory.ts";
import { modelOfConfig } from "../../../plan/planned-model.ts";
import { parseKvSpec } from "../../../quant/parse-kv-spec.ts";
import { parseModelConfig } from "../../config.ts";

const json = {
  model_type: "gemma4_text",
  hidden_size: 1536,
  intermediate_size: 6144,
  num_hidden_layers: 12,
  num_key_value_heads: 1,
  num_kv_shared_layers: 4,
  use_double_wide_mlp: true,
};
const parse = (more: object = {}) => parseModelConfig({ ...json, ...more }, "config.json");
const layers = (config: ReturnType<typeof parse>) =>
  Array.from({ length: config.numLayers }, (_, layer) => config.attentionOf(layer));

it("has longer heads where a layer attends to everything, and reads the last layer of its kind where it shares", () => {
  const config = parse();
  expect(layers(config).map(({ headDim }) => headDim)).toEqual([
    ...[256, 256, 256, 256, 256, 512],
    ...[256, 256, 256, 256, 256, 512],
  ]);
  expect(layers(config).map(({ sharedWith }) => sharedWith)).toEqual([...Array<null>(8).fill(null), ...[7, 7, 7, 5]]);
  expect([7, 8].map((layer) => config.intermediateOf(layer))).toEqual([6144, 12_288]);
  expect(config.ropeOf(5)).toMatchObject({ type: "proportional", theta: 1e6, fraction: 0.25 });
  expect(config.ropeOf(0)).toMatchObject({ type: "default", theta: 1e4 });
});

it("takes bytes of the cache for layers with keys and values of their own alone", () => {
  const cache = new CacheMemory(modelOfConfig(parse(), "gemma"), parseKvSpec("f16"));
  // One layer grows: one head of 512 coordinates, two bytes each, of K and of V. Seven keep the pages of 512 tokens and one more.
  expect(cache.bytesPerToken).toBe(2 * 2 * 512);
  expect(cache.bytes(64 * 100)).toBe(64 * 100 * 2 * 2 * 512 + 7 * 512 * 2 * 2 * 256);
});

it("values are keys, with fewer heads, in layers that attend to everything", () => {
  const config = parse({ attention_k_eq_v: true, num_key_value_heads: 4, num_global_key_value_heads: 2 });
  expect([0, 5].map((layer) => config.attentionOf(layer))).toMatchObject([
    { numKvHeads: 4, valuesAreKeys: false },
    { numKvHeads: 2, valuesAreKeys: true },
  ]);
});

it.each([
  [{ enable_moe_block: true }, /num_experts: expected a number, got nothing/],
  [{ enable_moe_block: true, num_experts: 8, moe_intermediate_size: 16 }, /top_k_experts: expected/],
  [{ use_bidirectional_attention: "all" }, /use_bidirectional_attention: expected a decoder/],
  [{ num_kv_shared_layers: 12 }, /num_kv_shared_layers: expected a whole number from 0 to 11/],
  [{ num_kv_shared_layers: 8 }, /num_kv_shared_layers: expected fewer, as no layer before them/],
  [
    { per_layer_config: { 5: { num_attention_heads: 4 } } },
    /per_layer_config.5.num_attention_heads: expected head_dim/,
  ],
  [{ per_layer_config: { 5: { head_dim: 580 } } }, /head_dim: expected at most 576/],
])("%j is refused", (more, message) => {
  expect(() => parse(more)).toThrow(message);
});
