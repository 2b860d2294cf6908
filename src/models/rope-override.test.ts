import { describe, expect, it } from "vitest";
import { parseModelConfig } from "./config.ts";
import type { RopeOverride } from "./rope-override.ts";

const CONFIG = {
  model_type: "llama",
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  intermediate_size: 64,
  vocab_size: 64,
  max_position_embeddings: 4096,
  rms_norm_eps: 1e-6,
  rope_theta: 500_000,
};
const parse = (rope: RopeOverride, contextLength?: number, fields: object = {}) =>
  parseModelConfig({ ...CONFIG, ...fields }, "config.json", { rope, contextLength });

describe("a rope other than the config's", () => {
  it("yarn by a factor is what a config with it says", () => {
    const { rope, maxPositionEmbeddings } = parse({ scaling: "yarn", scale: 4 });
    const written = parseModelConfig(
      { ...CONFIG, rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 4096 } },
      "config.json",
    );
    expect(rope).toEqual(written.rope);
    expect(maxPositionEmbeddings).toBe(16_384);
  });

  it("the factor follows from the context that is asked for, and holds it", () => {
    for (const context of [5000, 4097, 200_000, 123_457]) {
      expect(parse({ scaling: "yarn" }, context).maxPositionEmbeddings).toBeGreaterThanOrEqual(context);
      expect(parse({ scaling: "linear" }, context).maxPositionEmbeddings).toBeGreaterThanOrEqual(context);
    }
  });

  it("YaRN's other numbers are llama.cpp's, and imply it", () => {
    const { rope } = parse({ scale: 2, originalContext: 1024, betaFast: 16, betaSlow: 2, attentionFactor: 1.5 });
    expect(rope).toMatchObject({
      ...{ type: "yarn", factor: 2, originalMaxPosition: 1024 },
      ...{ betaFast: 16, betaSlow: 2, attentionFactor: 1.5, theta: 500_000 },
    });
  });

  it("none takes a config's scaling away, and a base alone leaves it", () => {
    const scaled = { rope_scaling: { rope_type: "linear", factor: 8 } };
    expect(parse({ scaling: "none" }, undefined, scaled).rope).toEqual({ type: "default", theta: 500_000 });
    expect(parse({ freqBase: 1e6 }, undefined, scaled).rope).toEqual({ type: "linear", theta: 1e6, factor: 8 });
    expect(parse({ freqBase: 1e6 }).rope).toEqual({ type: "default", theta: 1e6 });
    const newer = { rope_theta: undefined, rope_parameters: { rope_type: "default", rope_theta: 1000 } };
    expect(parse({ freqBase: 1e6 }, undefined, newer).rope).toEqual({ type: "default", theta: 1e6 });
    expect(parse({ scaling: "linear", scale: 2 }, undefined, newer).rope).toEqual({
      type: "linear",
      theta: 1000,
      factor: 2,
    });
  });

  it("goes from the family's length where a config says none, and from a field of another name", () => {
    const { max_position_embeddings: _, ...fields } = CONFIG;
    const parseOf = (json: object) =>
      parseModelConfig(json, "config.json", { rope: { scaling: "linear", scale: 2 } }).maxPositionEmbeddings;
    expect(parseOf({ ...fields, model_type: "olmo2" })).toBe(2 * 2048);
    expect(() => parseOf(fields)).toThrow(/max_position_embeddings: expected a number, got nothing/);
  });

  it("is refused for a model without rope, whose positions end with its table or nowhere", () => {
    const sizes = { n_embd: 42, n_head: 6, n_layer: 1, n_positions: 64, vocab_size: 101 };
    for (const rope of [{ scale: 2 }, { scaling: "linear", scale: 2 }, { freqBase: 1e6 }] as const)
      expect(() => parseModelConfig({ model_type: "gpt2", ...sizes }, "config.json", { rope })).toThrow(
        /rope: no layer of this model has rope/,
      );
  });

  it.each([
    [{ scaling: "ntk" }, /rope: scaling: expected none, linear, yarn, got "ntk"/],
    [{ scaling: "yarn" }, /expected a scale, or a contextLength beyond/],
    [{ scale: 0.5 }, /rope: scale: expected a number from 1 to/],
    [{ scaling: "linear", scale: 2, betaFast: 3 }, /betaFast goes with the scaling yarn, got linear/],
    [{ factor: 2 }, /rope: unknown option factor/],
  ])("%j is refused", (rope, message) => {
    expect(() => parse(rope as RopeOverride)).toThrow(message);
  });
});
