import { describe, expect, it } from "vitest";
import { SMALL_LLAMA as base, parseSmall as parse } from "../../test/support/small-llama.ts";
import { parseModelConfig } from "./config.ts";
import { supportedTypes } from "./registry.ts";
import { LLAMA_NAMES } from "./tensor-names.ts";
import { LLAMA_TRAITS } from "./traits.ts";

const EXPERTS = { num_experts: 8, num_experts_per_tok: 2, num_key_value_heads: 2, moe_intermediate_size: 16 };
const windows = (over: object) => {
  const config = parse(over);
  return Array.from({ length: config.numLayers }, (_, layer) => config.slidingWindow(layer));
};

describe("parseModelConfig", () => {
  it("reads a small llama with its defaults", () => {
    const { slidingWindow, ropeOf, mixer, expertsOf, attentionOf, intermediateOf, ...config } = parse({
      hidden_act: "silu",
      eos_token_id: [2, 3],
      bos_token_id: 1,
      rope_scaling: null,
    });
    expect(slidingWindow(0)).toBe(0);
    expect(ropeOf(0)).toBe(config.rope);
    expect(mixer(0, "model.layers.0.")).toBeNull();
    expect(expertsOf(0)).toBeNull();
    expect(attentionOf(0)).toMatchObject({ valuesAreKeys: false, sharedWith: null });
    expect(intermediateOf(0)).toBe(config.intermediateSize);
    expect(config).toEqual({
      modelType: "llama",
      isTextPart: false,
      latent: null,
      vocabSize: 1000,
      hiddenSize: 64,
      numLayers: 4,
      numHeads: 8,
      numKvHeads: 8,
      headDim: 8,
      intermediateSize: 128,
      normEps: 1e-5,
      tieWordEmbeddings: false,
      maxPositionEmbeddings: 2048,
      traits: LLAMA_TRAITS,
      names: LLAMA_NAMES,
      rope: { type: "default", theta: 10_000 },
      assemble: null,
      bosTokenId: 1,
      eosTokenIds: [2, 3],
      padTokenId: null,
    });
  });

  it("gives each family its norms and biases", () => {
    const flags = (model_type: string, over = {}) => {
      const { qkNorm, biases } = parse({ model_type, num_key_value_heads: 2, ...over }).traits;
      return [qkNorm, biases.qkv, biases.output];
    };
    expect(flags("llama")).toEqual(["none", false, false]);
    expect(flags("llama", { attention_bias: true })).toEqual(["none", true, true]);
    expect(flags("mistral")).toEqual(["none", false, false]);
    expect(flags("mistral", { attention_bias: true })).toEqual(["none", false, false]);
    expect(flags("qwen2")).toEqual(["none", true, false]);
    expect(flags("qwen3")).toEqual(["head", false, false]);
    expect(flags("olmo2")).toEqual(["row", false, false]);
    expect(flags("seed_oss")).toEqual(["none", true, false]);
  });

  it("takes the text model of a wrapper, and queries that grow beyond the length of training", () => {
    const text_config = { ...base, model_type: "ministral3", num_key_value_heads: 2, head_dim: 8 };
    const rope_parameters = {
      ...{ rope_type: "yarn", rope_theta: 1e6, factor: 16, llama_4_scaling_beta: 0.1 },
      original_max_position_embeddings: 512,
    };
    const wrapped = parseModelConfig(
      { model_type: "mistral3", tie_word_embeddings: true, text_config: { ...text_config, rope_parameters } },
      "m/config.json",
    );
    expect(wrapped).toMatchObject({ modelType: "ministral3", tieWordEmbeddings: true, maxPositionEmbeddings: 8192 });
    expect(wrapped.ropeOf(0).queryGrowth).toEqual({ beta: 0.1, length: 512, offset: 0 });
    const plain = parse({ ...text_config, rope_parameters: { ...rope_parameters, llama_4_scaling_beta: 0 } });
    expect(plain.ropeOf(0).queryGrowth).toBeUndefined();
    expect(() => parse({ model_type: "mistral3" })).toThrow(/text_config: expected the config of the text model/);
  });

  it("takes head_dim from the file before deriving it, and derives it for null whatever the family's default", () => {
    expect(parse({ model_type: "qwen3", num_key_value_heads: 2, head_dim: 128 }).headDim).toBe(128);
    expect(parse({ head_dim: null }).headDim).toBe(8);
    for (const model_type of ["seed_oss", "ernie4_5"]) {
      expect(parse({ model_type, num_key_value_heads: 2, head_dim: null }).headDim).toBe(8);
      expect(parse({ model_type, num_key_value_heads: 2 }).headDim).toBe(128);
    }
  });

  it("gives layers windows as the families do that have a rule of their own", () => {
    const own = { num_key_value_heads: 2, sliding_window: 16, max_window_layers: 2 };
    // Qwen3MoeModel masks all layers alike once the switch is on.
    expect(windows({ ...own, model_type: "qwen3_moe", use_sliding_window: true })).toEqual([16, 16, 16, 16]);
    expect(windows({ ...own, model_type: "qwen3_moe", use_sliding_window: false })).toEqual([0, 0, 0, 0]);
    // Qwen2MoeConfig: every other one of the lower layers; SmolLM3Config: those without rope; Cohere2MoeConfig: dense layers apart.
    expect(windows({ ...own, model_type: "qwen2_moe", use_sliding_window: true, max_window_layers: 3 })).toEqual([
      ...[16, 0, 16, 0],
    ]);
    expect(windows({ ...own, model_type: "qwen2_moe" })).toEqual([0, 0, 0, 0]);
    expect(windows({ ...own, model_type: "smollm3", use_sliding_window: true })).toEqual([0, 0, 0, 16]);
    expect(windows({ ...own, model_type: "smollm3" })).toEqual([0, 0, 0, 0]);
    const prefix = { first_k_dense_replace: 2, sliding_window_pattern: 2, num_hidden_layers: 5, head_dim: 8 };
    expect(windows({ ...own, ...prefix, model_type: "cohere2_moe" })).toEqual([0, 0, 16, 0, 16]);
    // GraniteSWAConfig: the first of four layers attends to everything; a head is tied unless the file says otherwise.
    expect(windows({ model_type: "granite_swa", num_hidden_layers: 6 })).toEqual([0, 128, 128, 128, 0, 128]);
    expect(parse({ model_type: "granite_swa" }).tieWordEmbeddings).toBe(true);
  });

  it("attends in the last layer of an OLMo Hybrid that has fewer layers than its interval", () => {
    const config = parse({
      ...{ model_type: "olmo_hybrid", num_hidden_layers: 3, linear_key_head_dim: 8, linear_value_head_dim: 8 },
    });
    expect([0, 1, 2].map((layer) => config.mixer(layer, "") === null)).toEqual([false, false, true]);
  });

  it("unties the head of LFM2 by the name that its files have for that", () => {
    const tied = (over: object) => parse({ model_type: "lfm2", num_key_value_heads: 2, ...over }).tieWordEmbeddings;
    expect([
      tied({}),
      tied({ tie_embedding: false }),
      tied({ tie_embedding: true, tie_word_embeddings: false }),
    ]).toEqual([true, false, true]);
  });

  it("honours every way to say sliding window", () => {
    expect(windows({ sliding_window: 16 })).toEqual([0, 0, 0, 0]);
    const mistral = { model_type: "mistral", num_key_value_heads: 2 };
    expect(windows({ ...mistral, sliding_window: 16 })).toEqual([16, 16, 16, 16]);
    expect(windows({ ...mistral, sliding_window: null })).toEqual([0, 0, 0, 0]);
    expect(windows(mistral)).toEqual([4096, 4096, 4096, 4096]);
    for (const model_type of ["qwen2", "qwen3"]) {
      const qwen = { model_type, num_key_value_heads: 2, sliding_window: 16, max_window_layers: 3 };
      expect(windows({ ...qwen, use_sliding_window: false })).toEqual([0, 0, 0, 0]);
      expect(windows({ ...qwen, use_sliding_window: true })).toEqual([0, 0, 0, 16]);
      const layer_types = ["sliding_attention", "full_attention", "full_attention", "sliding_attention"];
      expect(windows({ ...qwen, use_sliding_window: true, layer_types })).toEqual([16, 0, 0, 16]);
      expect(() => windows({ ...qwen, layer_types })).toThrow(/use_sliding_window: expected a window/);
    }
  });
});

describe("parseModelConfig refuses", () => {
  it.each<[object, RegExp, string?]>([
    [{ hidden_size: undefined }, /m\/config\.json: hidden_size: expected a number, got nothing; correct the file/],
    [{ hidden_size: "64" }, /hidden_size: expected a number, got "64"/],
    [{ hidden_size: 0 }, /hidden_size: expected a whole number from 1 to/],
    [{ num_hidden_layers: 1e9 }, /num_hidden_layers: expected a whole number from 1 to 1024, got 1000000000/],
    [{ vocab_size: 1.5 }, /vocab_size: expected a whole number/],
    [{ num_key_value_heads: 3 }, /num_key_value_heads: expected a divisor of num_attention_heads \(8\), got 3/],
    [{ num_key_value_heads: 16 }, /num_key_value_heads: expected a whole number from 1 to 8/],
    [{ hidden_size: 100 }, /hidden_size: expected a multiple of num_attention_heads \(8\)/],
    [{ rms_norm_eps: -1 }, /rms_norm_eps: expected a number from 0 to 1/],
    [{ tie_word_embeddings: "yes" }, /tie_word_embeddings: expected true or false, got "yes"/],
    [{ eos_token_id: [1, "x"] }, /eos_token_id: expected a token id or a list/],
    [{ model_type: 3 }, /model_type: expected a string/],
    [{ rope_theta: 0 }, /rope_theta: expected a number from/],
    [{ rope_scaling: "linear" }, /rope_scaling: expected an object/],
    [{ rope_scaling: { type: "linear" } }, /rope_scaling\.factor: expected a number, got nothing/],
    [{ rope_scaling: { type: "linear", factor: 0.5 } }, /rope_scaling\.factor: expected a number from 1/],
    [
      { rope_parameters: { rope_type: "llama3", factor: 8 } },
      /rope_parameters\.low_freq_factor: expected a number, got nothing/,
    ],
    [{ head_dim: 578 }, /head_dim: expected at most 576, got 578; use a model with/, "unsupported"],
    [{ head_dim: 13 }, /head_dim: expected an even number, as rope turns pairs of coordinates, got 13/, "unsupported"],
    [{ hidden_act: "mish" }, /hidden_act: expected one of silu, .*got "mish"/, "unsupported"],
    [{ model_type: "smollm3", no_rope_layers: [1, 2, 1, 1] }, /no_rope_layers: expected a list of 0 and 1/],
    [
      { model_type: "phi3", rope_scaling: { type: "longrope", short_factor: [1], long_factor: [1] } },
      /rope_scaling\.short_factor: expected a list of 4, one a pair/,
    ],
    [
      { quantization_config: { quant_method: "hqq" } },
      /quantization_config: expected a quantization of gptq, awq.*use the bf16/,
      "unsupported",
    ],
    [{ model_type: "phi", partial_rotary_factor: 0.4 }, /partial_rotary_factor: expected a factor that leaves pairs/],
    [
      { rope_scaling: { type: "ntk" } },
      /expected default, linear, dynamic, yarn, longrope, proportional or llama3, got "ntk"/,
      "unsupported",
    ],
    [
      { model_type: "mistral", num_key_value_heads: 2, sliding_window: 8, layer_types: ["full_attention"] },
      /layer_types: expected a list of 4/,
    ],
    [
      { model_type: "qwen3", num_key_value_heads: 2, layer_types: Array(4).fill("linear_attention") },
      /layer_types: expected only full_attention and sliding_attention, not "linear_attention"/,
      "unsupported",
    ],
    [
      { ...EXPERTS, model_type: "glm4_moe", n_group: 4, topk_group: 1, num_experts_per_tok: 4 },
      /topk_group: expected groups with at least the 4 experts of a token, not 2/,
    ],
    [{ ...EXPERTS, model_type: "ernie4_5_moe", moe_norm_min: 0.5 }, /moe_norm_min: a bound .*, got 0.5/, "unsupported"],
    [
      { model_type: "jamba", hidden_act: "gelu" },
      /hidden_act: Mamba layers are computed with silu alone/,
      "unsupported",
    ],
    [
      { model_type: "olmo_hybrid", num_key_value_heads: 8, hidden_act: "gelu" },
      /hidden_act: gated delta nets are computed with silu alone/,
      "unsupported",
    ],
  ])("%j", (over, message, code = "invalid_file") => {
    let error: unknown;
    try {
      parse(over);
    } catch (caught) {
      error = caught;
    }
    expect(error).toMatchObject({ name: "TurboQuantError", code, message: expect.stringMatching(message) });
  });

  it.each(["x", null, [], 3])("a file that holds %j", (json) => {
    expect(() => parseModelConfig(json, "config.json")).toThrow(/expected a JSON object/);
  });

  it.each([
    ["arctic", /mixture-of-experts/],
    ["minimax", /hybrid state-space or linear-attention layers of another kind and mixture-of-experts/],
    ["zamba", /hybrid state-space/],
    ["mamba", /hybrid state-space/],
    ["bloom", /ALiBi positions/],
    ["gptj", /tensor names and config fields of its own/],
    ["qwen2_5_vl", /image or audio/],
    ["t5", /encoder-decoder/],
  ])("model type %s, saying what is missing", (model_type, what) => {
    try {
      parse({ model_type });
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({
        code: "unsupported",
        detail: { modelType: model_type, supported: supportedTypes() },
      });
      expect((error as Error).message).toMatch(what);
      expect((error as Error).message).toMatch(/expected one of llama, mistral, qwen2, qwen3, /);
    }
  });

  it("an unknown model type", () => {
    expect(() => parse({ model_type: "brand-new" })).toThrow(/got "brand-new"; use a checkpoint of a supported type/);
  });
});
