/** @file Fields that a config.json leaves out or sets to null, against what Transformers' config classes make of them. */
import { expect, it } from "vitest";
import { parseModelConfig } from "../src/models/config.ts";
import fixture from "./fixtures/config-defaults/expected.json" with { type: "json" };

it.each(fixture.cases.map((c) => [c.model_type, JSON.stringify(c.change), c] as const))("%s %s", (_, __, c) => {
  const config = parseModelConfig({ ...fixture.base, model_type: c.model_type, ...c.change }, "m/config.json");
  const { windows, eosTokenId, theta, ...sizes } = c.expected;
  const { numKvHeads, headDim, normEps: rmsNormEps, tieWordEmbeddings, bosTokenId, padTokenId } = config;
  expect({ numKvHeads, headDim, rmsNormEps, tieWordEmbeddings, bosTokenId, padTokenId }).toEqual(sizes);
  expect(config.eosTokenIds).toEqual(eosTokenId === null ? [] : [eosTokenId].flat());
  expect(config.rope).toEqual({ type: "default", theta });
  const expected = windows.flatMap(([window, layers]) => Array<number>(layers!).fill(window!));
  expect(expected.map((_, layer) => config.slidingWindow(layer))).toEqual(expected);
});

it("a token id of -1 is none", () => {
  const base = { ...fixture.base, model_type: "llama" };
  const parse = (over: object) => parseModelConfig({ ...base, ...over }, "m/config.json");
  expect(parse({ pad_token_id: -1 }).padTokenId).toBeNull();
  expect(parse({ bos_token_id: -1, eos_token_id: -1 })).toMatchObject({ bosTokenId: null, eosTokenIds: [] });
  expect(() => parse({ pad_token_id: -2 })).toThrow(/pad_token_id: expected a token id or a list of them, got -2/);
});
