/** @file What configs of Gemma 3n say and leave out. Logits are compared in test/seeded-architectures.test.ts. */
import { expect, it } from "vitest";
import { parseModelConfig } from "../../config.ts";

const json = { model_type: "gemma3n_text", hidden_size: 2048 };
const parse = (more: object = {}) => parseModelConfig({ ...json, ...more }, "config.json");

it("takes what a config leaves out from the published model", () => {
  const config = parse();
  expect(config).toMatchObject({ numLayers: 35, numHeads: 8, numKvHeads: 2, headDim: 256, vocabSize: 262_400 });
  expect([0, 4, 9].map((layer) => config.slidingWindow(layer))).toEqual([512, 0, 0]);
  expect([19, 20, 24, 34].map((layer) => config.attentionOf(layer).sharedWith)).toEqual([null, 18, 19, 19]);
  expect(config.ropeOf(4)).toMatchObject({ theta: 1e6 });
  expect(config.ropeOf(0)).toMatchObject({ theta: 1e4 });
  expect(config.traits).toMatchObject({
    logitSoftcap: 30,
    learnedResidualRank: 64,
    alternatingUpdates: { count: 4, active: 0, scalesCorrected: true },
  });
  const cutoffs = config.traits.gateCutoffs!;
  expect(cutoffs[9]).toBeCloseTo(1.6448536, 6);
  expect(cutoffs.slice(10)).toEqual(Array<null>(25).fill(null));
});

it("has a width of its own for each feed-forward", () => {
  const config = parse({ num_hidden_layers: 5, num_kv_shared_layers: 0, intermediate_size: [8, 16, 8, 8, 24] });
  expect([0, 1, 4].map((layer) => config.intermediateOf(layer))).toEqual([8, 16, 24]);
  expect(config.traits.gateCutoffs).toEqual(Array<null>(5).fill(null));
});

it.each([
  [{ altup_num_inputs: 1 }, /altup_num_inputs: expected a whole number from 2 to 8/],
  [{ altup_num_inputs: 2, altup_active_idx: 2 }, /altup_active_idx: expected a whole number from 0 to 1/],
  [{ intermediate_size: [8, 16] }, /intermediate_size: expected a whole number, or a list of 35/],
  [{ activation_sparsity_pattern: [0.95] }, /activation_sparsity_pattern: expected a list of 35 numbers/],
  [{ activation_sparsity_pattern: Array(35).fill(1) }, /activation_sparsity_pattern: expected a list of 35 numbers/],
  [{ use_bidirectional_attention: true }, /use_bidirectional_attention: expected a decoder/],
])("%j is refused", (more, message) => {
  expect(() => parse(more)).toThrow(message);
});
