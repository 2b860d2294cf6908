/** @file Plans of published models whose layers keep states of fixed size, against arithmetic over their shapes. */
import { describe, expect, it } from "vitest";
import { plannedBackend } from "../backends/registry.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { CacheMemory } from "./cache-memory.ts";
import { planMemory } from "./memory-plan.ts";
import { fixedStateBytes } from "./model-memory.ts";
import { planNotes } from "./notes.ts";
import { plannedModel } from "./planned-model.ts";

const repeat = (count: number, types: readonly string[]): string[] => Array.from({ length: count }, () => types).flat();

const LFM2 = {
  model_type: "lfm2",
  hidden_size: 2048,
  num_hidden_layers: 16,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  block_ff_dim: 12_288,
  block_auto_adjust_ff_dim: true,
  block_multiple_of: 256,
  block_ffn_dim_multiplier: 1,
  conv_L_cache: 3,
  full_attn_idxs: [2, 5, 8, 10, 12, 14],
  vocab_size: 65_536,
  max_position_embeddings: 128_000,
  norm_eps: 1e-5,
};

const QWEN35 = {
  model_type: "qwen3_5",
  tie_word_embeddings: true,
  text_config: {
    model_type: "qwen3_5_text",
    hidden_size: 1024,
    num_hidden_layers: 24,
    num_attention_heads: 8,
    num_key_value_heads: 2,
    head_dim: 256,
    intermediate_size: 3584,
    linear_num_key_heads: 16,
    linear_num_value_heads: 16,
    linear_key_head_dim: 128,
    linear_value_head_dim: 128,
    linear_conv_kernel_dim: 4,
    layer_types: repeat(6, [...repeat(3, ["linear_attention"]), "full_attention"]),
    rope_parameters: {
      ...{ rope_type: "default", rope_theta: 1e7, partial_rotary_factor: 0.25 },
      ...{ mrope_interleaved: true, mrope_section: [11, 11, 10] },
    },
    vocab_size: 248_320,
    max_position_embeddings: 262_144,
    tie_word_embeddings: true,
  },
};

const QWEN3_NEXT = {
  model_type: "qwen3_next",
  hidden_size: 2048,
  num_hidden_layers: 48,
  num_attention_heads: 16,
  num_key_value_heads: 2,
  head_dim: 256,
  intermediate_size: 5120,
  full_attention_interval: 4,
  num_experts: 512,
  num_experts_per_tok: 10,
  moe_intermediate_size: 512,
  shared_expert_intermediate_size: 512,
  vocab_size: 151_936,
  max_position_embeddings: 262_144,
};

/** f32 bytes of a delta net's state: the inputs of its convolution, and a matrix a head. */
const deltaState = (numKeyHeads: number, numHeads: number, dim: number, kernel: number): number =>
  4 * ((kernel - 1) * (2 * numKeyHeads + numHeads) * dim + numHeads * dim * dim);
/** Parameters of a delta net: q, k, v and gate, rates and decays with their own, taps, norm, output. */
const deltaNet = (hidden: number, numKeyHeads: number, numHeads: number, dim: number): number =>
  hidden * dim * (2 * numKeyHeads + 2 * numHeads) +
  (2 * hidden + 2) * numHeads +
  4 * (2 * numKeyHeads + numHeads) * dim +
  dim +
  hidden * numHeads * dim;
/** Parameters of attention whose queries have a gate beside them, with the norms of its heads. */
const gatedAttention = (hidden: number, numHeads: number, numKvHeads: number, dim: number): number =>
  hidden * dim * (2 * numHeads + 2 * numKvHeads + numHeads) + 2 * dim;

const MODELS = [
  {
    name: "LFM2-1.2B",
    config: LFM2,
    kvLayers: 6,
    kvValues: 2 * 8 * 64,
    states: 10 * 4 * 2 * 2048,
    // Ten convolutions and six times attention; feed-forwards of ⅔ · 12,288.
    parameters:
      65_536 * 2048 +
      16 * (3 * 2048 * 8192 + 2 * 2048) +
      10 * (4 * 2048 ** 2 + 3 * 2048) +
      6 * (2 * 2048 ** 2 + 2 * 2048 * 512 + 2 * 64) +
      2048,
    published: 1.17e9,
  },
  {
    name: "Qwen3.5-0.8B",
    config: QWEN35,
    kvLayers: 6,
    kvValues: 2 * 2 * 256,
    states: 18 * deltaState(16, 16, 128, 4),
    parameters:
      248_320 * 1024 +
      24 * (3 * 1024 * 3584 + 2 * 1024) +
      18 * deltaNet(1024, 16, 16, 128) +
      6 * gatedAttention(1024, 8, 2, 256) +
      1024,
    // Of the text model alone.
    published: 0.75e9,
  },
  {
    name: "Qwen3-Next-80B-A3B",
    config: QWEN3_NEXT,
    kvLayers: 12,
    kvValues: 2 * 2 * 256,
    states: 36 * deltaState(16, 32, 128, 4),
    parameters:
      2 * 151_936 * 2048 +
      48 * (512 * 2048 + 513 * 3 * 2048 * 512 + 2048 + 2 * 2048) +
      36 * deltaNet(2048, 16, 32, 128) +
      12 * gatedAttention(2048, 16, 2, 256) +
      2048,
    published: 79.67e9,
  },
] as const;

describe.each(MODELS)("$name", ({ name, config, kvLayers, kvValues, states, parameters, published }) => {
  const model = plannedModel(config, name);

  it("has so many layers with keys and values, and so many bytes of states", () => {
    expect(model.layers).toHaveLength(kvLayers);
    expect(fixedStateBytes(model)).toBe(states);
    const cache = new CacheMemory(model, parseKvSpec("f16"));
    expect(cache.bytesPerToken).toBe(kvLayers * kvValues * 2);
    // A whole number of pages.
    expect(cache.bytes(4096)).toBe(4096 * kvLayers * kvValues * 2 + states);
    expect(cache.bitsPerValue(4096)).toBe(16);
  });

  it("holds states three times for a prompt, and of sequences that decode together before the step and after each in flight", () => {
    const cache = new CacheMemory({ ...model, numLayers: 48, layers: [] }, parseKvSpec("f16"));
    const held = (backend: "wasm" | "webgpu") =>
      [1, 2, 8].map((sequences) => cache.held(100, sequences, 256, plannedBackend(backend).planner).bytes / states);
    expect(held("wasm")).toEqual([3, 4, 16]);
    // Three steps are in flight where tokens are drawn on the device.
    expect(held("webgpu")).toEqual([4, 8, 32]);
  });

  it("has the parameters of its shape, as published", () => {
    const plan = planMemory(model, { memoryBytes: 512e9, context: 4096, kv: ["k4v4"], backend: "webgpu" });
    expect(plan.weights.parameters).toBe(parameters);
    expect(parameters / published).toBeCloseTo(1, 2);
    expect(planNotes(plan).map(({ code }) => code)).toContain("fixed-state");
  });
});
