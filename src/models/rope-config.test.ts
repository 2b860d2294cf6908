/** @file What a config says of rope. */
import { describe, expect, it } from "vitest";
import { seededModel } from "../../test/support/seeded-checkpoint.ts";
import { parseSmall as parse } from "../../test/support/small-llama.ts";
import { parseModelConfig } from "./config.ts";
import { ropeFor } from "./rope.ts";

describe("rope of a config", () => {
  it("turns the part of a head that a config says, in the layers that it says", () => {
    const half = { type: "default", theta: 10_000, rotaryDim: 4 };
    expect(parse({ model_type: "phi", partial_rotary_factor: 0.5 }).rope).toEqual(half);
    // Llama has the field, and turns whole heads.
    expect(parse({ partial_rotary_factor: 0.5 }).rope).toEqual({ type: "default", theta: 10_000 });
    expect(parse({ model_type: "gpt_neox", rotary_pct: 0.5, rotary_emb_base: 1e6 }).rope).toEqual({
      type: "default",
      theta: 1e6,
      rotaryDim: 4,
    });
    const types = (over: object) => {
      const { numLayers, ropeOf } = parse({ num_key_value_heads: 2, ...over });
      return Array.from({ length: numLayers }, (_, layer) => ropeOf(layer).type);
    };
    expect(types({ model_type: "smollm3" })).toEqual(["default", "default", "default", "none"]);
    expect(types({ model_type: "smollm3", no_rope_layers: [0, 1, 1, 1] })).toEqual([
      "none",
      ...Array(3).fill("default"),
    ]);
    expect(types({ model_type: "cohere2", sliding_window_pattern: 2 })).toEqual(["default", "none", "default", "none"]);
    expect(types({ model_type: "exaone4", sliding_window: null })).toEqual(Array(4).fill("default"));
    expect(types({ model_type: "exaone4", sliding_window_pattern: "LG" })).toEqual([
      "default",
      "none",
      "default",
      "none",
    ]);
    const rope_scaling = { rope_type: "yarn", factor: 8, original_max_position_embeddings: 512 };
    expect(types({ model_type: "olmo3", rope_scaling })).toEqual(["default", "default", "default", "yarn"]);
  });

  it("turns one coordinate more than an odd part of a head, with the frequencies of that number, where families do", () => {
    const over = { model_type: "glm4", head_dim: 12, partial_rotary_factor: 0.25, num_key_value_heads: 2 };
    const odd = { rotaryDim: 4, exponentDim: 3 };
    expect(parse(over).rope).toEqual({ type: "default", theta: 10_000, ...odd });
    const linear = { rope_type: "linear", factor: 4 };
    expect(parse({ ...over, rope_scaling: linear }).rope).toEqual({ type: "linear", theta: 10_000, factor: 4, ...odd });
    const rope_scaling = { rope_type: "yarn", factor: 8, original_max_position_embeddings: 512 };
    expect(() => parse({ ...over, rope_scaling })).toThrow(/a factor that leaves pairs of coordinates/);
  });

  it("reads LongRoPE with the length of training beside it", () => {
    const list = [1, 1.5, 2, 3];
    const rope_scaling = { type: "su", short_factor: list, long_factor: list.map((value) => 2 * value) };
    expect(parse({ model_type: "phi3", rope_scaling, original_max_position_embeddings: 512 }).rope).toEqual({
      type: "longrope",
      theta: 10_000,
      shortFactor: list,
      longFactor: [2, 3, 4, 6],
      originalMaxPosition: 512,
      attentionFactor: Math.sqrt(1 + Math.log(4) / Math.log(512)),
    });
  });

  it("multiplies cos and sin by the factors that Phi 3.5 MoE's LongRoPE says, the one of long sequences beyond training", () => {
    const list = [1, 1.5, 2, 3];
    const { rope } = parse({
      rope_scaling: {
        ...{ type: "longrope", short_factor: list, long_factor: list, original_max_position_embeddings: 512 },
        ...{ short_mscale: 1.1, long_mscale: 1.3 },
      },
    });
    const factorAt = (length: number) => ropeFor({ headDim: 8, rope }, length).rope.attentionFactor;
    expect([factorAt(512), factorAt(513)]).toEqual([1.1, 1.3]);
  });

  it("scales rope as the config classes of Apertus, gpt-oss and Ministral 3 do for a file that says nothing of it", () => {
    expect(parse({ model_type: "apertus" }).rope).toEqual({
      ...{ type: "llama3", theta: 12e6, factor: 8, lowFreqFactor: 1, highFreqFactor: 4 },
      originalMaxPosition: 8192,
    });
    expect(parse({ model_type: "ministral3", num_key_value_heads: 2, head_dim: 16 }).ropeOf(0)).toEqual({
      ...{ type: "yarn", theta: 1e6, factor: 16, originalMaxPosition: 16_384, betaFast: 32, betaSlow: 1 },
      ...{ attentionFactor: 1, truncate: true, queryGrowth: { beta: 0.1, length: 16_384, offset: 0 } },
    });
    expect(parse({ model_type: "gpt_oss", head_dim: 8 }).rope).toEqual({
      ...{ type: "yarn", theta: 150_000, factor: 32, originalMaxPosition: 4096, betaFast: 32, betaSlow: 1 },
      ...{ attentionFactor: 1.3465735902799727, truncate: false },
    });
    expect(parse({ model_type: "apertus", rope_scaling: { type: "linear", factor: 2 } }).rope.type).toBe("linear");
  });

  it("reads rope in the spelling of Transformers 4 and 5 alike", () => {
    const old = { rope_theta: 5e5, rope_scaling: { type: "linear", factor: 2 } };
    const renamed = { rope_theta: 5e5, rope_scaling: { rope_type: "linear", factor: 2 } };
    const v5 = { rope_parameters: { rope_theta: 5e5, rope_type: "linear", factor: 2 } };
    for (const spelling of [old, renamed, v5, { ...v5, rope_theta: 1 }]) {
      expect(parse(spelling).rope).toEqual({ type: "linear", theta: 5e5, factor: 2 });
    }
    expect(parse({ rope_parameters: { rope_type: "default", rope_theta: 1e6 } }).rope).toEqual({
      type: "default",
      theta: 1e6,
    });
    expect(parse({ rope_scaling: { rope_type: "dynamic", factor: 4 } }).rope).toEqual({
      type: "dynamic",
      theta: 10_000,
      factor: 4,
      originalMaxPosition: 2048,
    });
    const llama3 = {
      rope_type: "llama3",
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 512,
    };
    expect(parse({ rope_scaling: llama3 }).rope).toEqual({
      type: "llama3",
      theta: 10_000,
      factor: 8,
      lowFreqFactor: 1,
      highFreqFactor: 4,
      originalMaxPosition: 512,
    });
  });

  it("derives what a yarn config leaves out", () => {
    const yarn = (over: object) =>
      parse({ rope_scaling: { type: "yarn", factor: 4, original_max_position_embeddings: 1024, ...over } }).rope;
    expect(yarn({})).toEqual({
      type: "yarn",
      theta: 10_000,
      factor: 4,
      originalMaxPosition: 1024,
      betaFast: 32,
      betaSlow: 1,
      attentionFactor: 0.1 * Math.log(4) + 1,
      truncate: true,
    });
    expect(yarn({ attention_factor: 1.5, beta_fast: 16, truncate: false })).toMatchObject({
      attentionFactor: 1.5,
      betaFast: 16,
      truncate: false,
    });
    // DeepSeek's pair of scales cancels when equal.
    expect(yarn({ mscale: 1, mscale_all_dim: 1 })).toMatchObject({ attentionFactor: 1 });
    expect(yarn({ factor: null })).toMatchObject({ factor: 2 });
  });

  it("multiplies the context by the scaling where the file keeps the trained length", () => {
    const context = (rope_scaling: object | null) => parse({ rope_scaling }).maxPositionEmbeddings;
    expect(context(null)).toBe(2048);
    expect(context({ type: "linear", factor: 2 })).toBe(4096);
    expect(context({ type: "dynamic", factor: 2 })).toBe(4096);
    expect(context({ type: "yarn", factor: 4, original_max_position_embeddings: 2048 })).toBe(8192);
    expect(context({ type: "yarn", factor: 4, original_max_position_embeddings: 512 })).toBe(2048);
    const llama3 = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 256 };
    expect(context({ type: "llama3", factor: 8, ...llama3 })).toBe(2048);
  });
});

it("has LFM3's ropes by kind of layer where a file says nothing of rope", () => {
  const { config } = seededModel("lfm3");
  const { rope_parameters: _, ...own } = config as { readonly rope_parameters?: unknown };
  const { ropeOf, slidingWindow } = parseModelConfig(own, "config.json");
  const ropes = new Map([0, 1, 2, 3].map((layer) => [slidingWindow(layer) > 0, ropeOf(layer)]));
  expect(ropes.get(true)).toEqual({ type: "default", theta: 1e4 });
  expect(ropes.get(false)).toEqual({ type: "proportional", theta: 1e6, fraction: 0.5, factor: 1 });
});
