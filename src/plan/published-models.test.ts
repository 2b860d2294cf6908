/** @file Published models: parameter counts as their publishers state them, KV bytes by hand. */
import { describe, expect, it } from "vitest";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { CacheMemory } from "./cache-memory.ts";
import { plannedModel } from "./planned-model.ts";
import { weightMemory } from "./weight-memory.ts";

const sizes = (
  model_type: string,
  [hidden_size, num_hidden_layers, num_attention_heads, num_key_value_heads, intermediate_size, vocab_size]: number[],
  more: object = {},
) => ({
  model_type,
  hidden_size,
  num_hidden_layers,
  num_attention_heads,
  num_key_value_heads,
  intermediate_size,
  vocab_size,
  max_position_embeddings: 131_072,
  ...more,
});

/** Config, and the parameters in billions on the model card or in the paper. */
const MODELS: Readonly<Record<string, readonly [config: object, billions: number]>> = {
  "Qwen3-30B-A3B": [
    sizes("qwen3_moe", [2048, 48, 32, 4, 6144, 151_936], {
      head_dim: 128,
      num_experts: 128,
      num_experts_per_tok: 8,
      moe_intermediate_size: 768,
      mlp_only_layers: [],
    }),
    30.5,
  ],
  "Qwen1.5-MoE-A2.7B": [
    sizes("qwen2_moe", [2048, 24, 16, 16, 5632, 151_936], {
      num_experts: 60,
      num_experts_per_tok: 4,
      moe_intermediate_size: 1408,
      shared_expert_intermediate_size: 5632,
    }),
    14.3,
  ],
  "Mixtral-8x7B": [
    sizes("mixtral", [4096, 32, 32, 8, 14_336, 32_000], { num_local_experts: 8, num_experts_per_tok: 2 }),
    46.7,
  ],
  "gpt-oss-20b": [
    sizes("gpt_oss", [2880, 24, 64, 8, 2880, 201_088], { head_dim: 64, num_local_experts: 32, num_experts_per_tok: 4 }),
    20.9,
  ],
  "gemma-7b": [sizes("gemma", [3072, 28, 16, 16, 24_576, 256_000]), 8.54],
  "gemma-2-9b": [sizes("gemma2", [3584, 42, 16, 8, 14_336, 256_000]), 9.24],
  "gemma-3-1b": [sizes("gemma3_text", [1152, 26, 4, 1, 6912, 262_144], { sliding_window: 512 }), 1.0],
  "Phi-3-mini": [sizes("phi3", [3072, 32, 32, 32, 8192, 32_064], { sliding_window: null }), 3.82],
  "OLMo-2-7B": [sizes("olmo2", [4096, 32, 32, 32, 11_008, 100_352]), 7.3],
  SmolLM3: [sizes("smollm3", [2048, 36, 16, 4, 11_008, 128_256]), 3.08],
  "granite-3.0-8b": [sizes("granite", [4096, 40, 32, 8, 12_800, 49_155], { tie_word_embeddings: true }), 8.17],
};

const planned = (config: object) => plannedModel(config, "config.json");

describe("published models", () => {
  it.each(Object.entries(MODELS))("%s has the parameters its publisher states", (_, [config, billions]) => {
    const { parameters } = weightMemory(planned(config), "auto", "webgpu");
    // Published to three digits.
    expect(Math.abs(parameters / 1e9 / billions - 1)).toBeLessThan(0.005);
  });

  it("bytes of weights with all experts, by hand", () => {
    const bytes = (name: string, type: "auto" | "q8") => weightMemory(planned(MODELS[name]![0]), type, "wasm").bytes;
    // q8 has a scale of four bytes for 32 codes; routers stay bf16, norms are f32.
    const q8 = (rows: number, cols: number): number => (rows * cols * 36) / 32;
    const qwen =
      128 * (q8(2 * 768, 2048) + q8(2048, 768)) +
      q8(4096 + 2 * 512, 2048) +
      q8(2048, 4096) +
      2 * 128 * 2048 +
      4 * (2 * 2048 + 2 * 128);
    expect(bytes("Qwen3-30B-A3B", "q8")).toBe(48 * qwen + 2 * q8(151_936, 2048) + 4 * 2048);
    const mixtral = 2 * (8 * 3 * 14_336 * 4096 + (4096 + 2 * 1024) * 4096 + 4096 * 4096 + 8 * 4096) + 4 * 2 * 4096;
    expect(bytes("Mixtral-8x7B", "auto")).toBe(32 * mixtral + 2 * 2 * 32_000 * 4096 + 4 * 4096);
    // Biases of attention, of the router and of experts, and the sinks of 64 heads, are f32.
    const vectors = 5120 + 2880 + 32 + 32 * (2 * 2880 + 2880) + 64 + 2 * 2880;
    const matrices = 32 * 3 * 2880 * 2880 + 5120 * 2880 + 2880 * 4096 + 32 * 2880;
    expect(bytes("gpt-oss-20b", "auto")).toBe(24 * (2 * matrices + 4 * vectors) + 2 * 2 * 201_088 * 2880 + 4 * 2880);
  });

  it("sliding-window layers keep the pages that their window reaches, the others every token", () => {
    const bytes = (name: string, kv: string, tokens: number) =>
      new CacheMemory(planned(MODELS[name]![0]), parseKvSpec(kv)).bytes(tokens);
    // Gemma 3 1B: layers 5, 11, 17, 23 of 26 are full; 2 · 256 values of 2 B a token and layer.
    expect(bytes("gemma-3-1b", "f16", 65_536)).toBe(4 * 65_536 * 1024 + 22 * 512 * 1024);
    // Below the window there is no difference.
    expect(bytes("gemma-3-1b", "f16", 512)).toBe(26 * 512 * 1024);
    // Gemma 2: every other layer; gpt-oss the same with a window of 128.
    expect(bytes("gemma-2-9b", "f16", 65_536)).toBe(21 * (65_536 + 4096) * 8192);
    expect(bytes("gpt-oss-20b", "f16", 65_536)).toBe(12 * (65_536 + 128) * 2048);
    expect(bytes("Phi-3-mini", "f16", 65_536)).toBe(32 * 65_536 * 12_288);
  });

  it("layer_types decide where a config has them", () => {
    const layer_types = ["full_attention", ...Array.from({ length: 25 }, () => "sliding_attention")];
    const model = planned({ ...MODELS["gemma-3-1b"]![0], layer_types });
    expect(model.layers.map(({ slidingWindow }) => slidingWindow)).toEqual([0, ...layer_types.slice(1).map(() => 512)]);
    expect(() => planned({ ...MODELS["gemma-3-1b"]![0], layer_types: ["full_attention"] })).toThrow(/a list of 26/);
  });

  it("a multimodal wrapper is planned by its text config, and says so", () => {
    const text_config = MODELS["gemma-3-1b"]![0];
    const model = planned({ model_type: "gemma3", text_config });
    expect(model.assumptions.join()).toMatch(/image or sound inputs are not counted/);
    expect(model.layers).toEqual(planned(text_config).layers);
    expect(() => planned({ model_type: "gemma3" })).toThrow(/text_config: expected the config/);
  });

  it.each([
    [{ model_type: "kimi_k25", kv_lora_rank: 512 }, /kimi_k25 .*latent row.*MLA.*image or audio/],
    [{ model_type: "brand_new", kv_lora_rank: 512 }, /latent row.*MLA\), and the rest of its layers is not known here/],
    [{ model_type: "rwkv7" }, /only some of its layers have K and V/],
    [{ model_type: "brand_new", mamba_d_state: 16 }, /only some of its layers have K and V/],
    [{ model_type: "bert" }, /it needs a decoder/],
    [{ model_type: "persimmon" }, /sizes of its tensors are not known here \(it needs tensor names/],
    [{ model_type: "brand_new" }, /sizes of its tensors are not known here; plan knows llama/],
    [{}, /model_type: expected a string/],
    [[], /expected a JSON object/],
  ])("%j is refused with the reason", (config, message) => {
    expect(() => planned(config)).toThrow(message);
  });
});
