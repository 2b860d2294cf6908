/** @file What configs of Gemma models say and leave out, as they are published. Their logits are compared in test/architectures.test.ts. */
import { describe, expect, it } from "vitest";
import { parseModelConfig } from "../../config.ts";
import { layoutOf, weightSpecs } from "../../layout.ts";

const parse = (json: object) => parseModelConfig(json, "config.json");
const windowsOf = (config: ReturnType<typeof parse>) =>
  Array.from({ length: config.numLayers }, (_, layer) => config.slidingWindow(layer));

describe("gemma 3, as the model of 4 billion parameters is published", () => {
  const text = {
    model_type: "gemma3_text",
    hidden_size: 2560,
    intermediate_size: 10_240,
    num_hidden_layers: 34,
    rope_scaling: { factor: 8, rope_type: "linear" },
    sliding_window: 1024,
  };
  const config = parse({ model_type: "gemma3", text_config: text, vision_config: {}, eos_token_id: [1, 106] });

  it("has the class's defaults, and windows on five of six layers", () => {
    expect(config).toMatchObject({
      modelType: "gemma3_text",
      isTextPart: true,
      vocabSize: 262_208,
      numHeads: 8,
      numKvHeads: 4,
      headDim: 256,
      tieWordEmbeddings: true,
      maxPositionEmbeddings: 131_072,
    });
    expect(windowsOf(config).slice(0, 7)).toEqual([1024, 1024, 1024, 1024, 1024, 0, 1024]);
    expect(windowsOf(config).filter((window) => window === 0)).toHaveLength(5);
    expect(config.traits).toMatchObject({
      activation: "gelu_tanh",
      norms: "around",
      qkNorm: "head",
      attentionScale: 1 / 16,
      attentionSoftcap: 0,
      logitSoftcap: 0,
      embeddingScale: Math.sqrt(2560),
    });
  });

  it("scales rope on the layers that attend to everything, and has another theta on the others", () => {
    expect(config.ropeOf(5)).toEqual({ type: "linear", theta: 1e6, factor: 8 });
    expect(config.ropeOf(0)).toEqual({ type: "default", theta: 1e4 });
    expect(parse({ ...text, rope_local_base_freq: 5e4 }).ropeOf(0)).toEqual({ type: "default", theta: 5e4 });
  });

  it("a model that attends both ways is refused", () => {
    expect(() => parse({ ...text, use_bidirectional_attention: true })).toThrow(/use_bidirectional_attention.*decoder/);
  });
});

describe("gemma 2", () => {
  const json = { model_type: "gemma2", hidden_size: 2304, intermediate_size: 9216, num_hidden_layers: 4 };

  it("has its caps, none where the config says null, and windows on every other layer", () => {
    expect(parse(json).traits).toMatchObject({ attentionSoftcap: 50, logitSoftcap: 30, attentionScale: 1 / 16 });
    const plain = parse({ ...json, attn_logit_softcapping: null, final_logit_softcapping: null });
    expect(plain.traits).toMatchObject({ attentionSoftcap: 0, logitSoftcap: 0 });
    expect(windowsOf(plain)).toEqual([4096, 0, 4096, 0]);
  });

  it("adds 1 to the weights of all norms, and nothing to those of files that store 1 + w", () => {
    const offsets = (more: object) => [
      ...new Set(
        [...weightSpecs(layoutOf(parse({ ...json, ...more })))].map(({ role, offset = 0 }) => `${role} ${offset}`),
      ),
    ];
    expect(offsets({}).sort()).toEqual(["embedding 0", "matrix 0", "norm 1"]);
    expect(offsets({ norm_offset: 0 }).sort()).toEqual(["embedding 0", "matrix 0", "norm 0"]);
  });
});

it("gemma takes GELU by tanh, also where the config says hidden_act gelu, and scores by head_dim", () => {
  const json = {
    model_type: "gemma",
    hidden_size: 2048,
    intermediate_size: 16_384,
    num_hidden_layers: 2,
    hidden_act: "gelu",
  };
  const { traits, headDim, numKvHeads } = parse({ ...json, num_attention_heads: 8, num_key_value_heads: 1 });
  expect({ headDim, numKvHeads, ...traits }).toMatchObject({
    headDim: 256,
    numKvHeads: 1,
    activation: "gelu_tanh",
    attentionScale: null,
    norms: "before",
  });
  // Another activation counts, and so does the field that later Gemmas have for it in them alone.
  const activationOf = (fields: object) =>
    parse({ ...json, num_attention_heads: 8, num_key_value_heads: 1, ...fields }).traits.activation;
  expect(activationOf({ hidden_act: "silu", hidden_activation: "relu" })).toBe("silu");
  expect(activationOf({ model_type: "gemma2", hidden_act: "silu", hidden_activation: "relu" })).toBe("relu");
});
