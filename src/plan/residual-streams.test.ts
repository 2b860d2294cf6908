/**
 * @file Bytes of a token and of states, and parameters, of models with several residual streams, by arithmetic over the sizes that stand beside it: the
 * config class of DeepSeek-V4 in Transformers, which has those of V4-Flash, and the small model of Qwen 4 (experimental), of which no config is published.
 */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parseModelConfig } from "../models/config.ts";
import { layoutOf, numParameters } from "../models/layout.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { cacheKinds } from "./cache-kinds.ts";
import { CacheMemory } from "./cache-memory.ts";
import { fixedStateBytes } from "./model-memory.ts";
import { plannedModel } from "./planned-model.ts";

const bytesOf = (config: object, kv: string): number =>
  new CacheMemory(plannedModel(config, "config.json"), parseKvSpec(kv)).bytesPerToken;

const [HIDDEN, HEADS, DIM, RANK, EXPERT] = [4096, 64, 512, 1024, 2048];
const V4_FLASH = { model_type: "deepseek_v4", hidden_size: HIDDEN, num_hidden_layers: 43 };
/** Two layers with rows of 128 tokens first, then the two kinds in turns. */
const [HEAVY, SPARSE] = [23, 20];

it("rows of 4 and of 128 tokens, with an index row of 128 beside those of 4", () => {
  expect(bytesOf(V4_FLASH, "f16")).toBe((SPARSE * 2 * (DIM + 128)) / 4 + (HEAVY * 2 * DIM) / 128);
  expect(bytesOf(V4_FLASH, "k8v8")).toBe((SPARSE * (DIM + 2 + 128 + 2)) / 4 + (HEAVY * (DIM + 2)) / 128);
  const kinds = cacheKinds(plannedModel(V4_FLASH, "config.json"), parseKvSpec("f16"), 1 << 16);
  expect(kinds.map(({ kind, text, layers }) => [kind, text, layers.length])).toEqual([
    ["latent", "latent rows of the last 128", 43],
    ["latent", "latent rows, one for 128 tokens", HEAVY],
    ["fixed", "a state of fixed size, f32", 43],
    ["index", "keys of an indexer, one for 4 tokens", SPARSE],
    ["latent", "latent rows, one for 4 tokens", SPARSE],
  ]);
});

it("memory of work counts the lists of chosen rows, where a layer has them", () => {
  const listsOf = (types: readonly string[]) =>
    plannedModel({ ...V4_FLASH, num_hidden_layers: 2, layer_types: types }, "config.json").chosenLists;
  expect(listsOf(["sliding_attention", "compressed_sparse_attention"])).toBe(1);
  expect(listsOf(["sliding_attention", "heavily_compressed_attention"])).toBeUndefined();
});

it("what is kept of unfinished rows: three numbers a coordinate, of two rows where a token counts in both", () => {
  const ofRows = 3 * 4 * (HEAVY * DIM + SPARSE * 2 * (DIM + 128));
  expect(fixedStateBytes(plannedModel(V4_FLASH, "config.json"))).toBe(ofRows);
});

it("284 billion parameters of DeepSeek-V4-Flash, without the layer that predicts further tokens", () => {
  const attention =
    HIDDEN * RANK + RANK + RANK * HEADS * DIM + HIDDEN * DIM + DIM + HEADS + HEADS * DIM * RANK + 8 * RANK * HIDDEN;
  const heavy = 2 * HIDDEN * DIM + 128 * DIM + DIM;
  const sparse = 4 * HIDDEN * DIM + 4 * 2 * DIM + DIM;
  const indexer = 4 * HIDDEN * 128 + 4 * 2 * 128 + 128 + RANK * 64 * 128 + HIDDEN * 64;
  const mixture = 257 * 3 * HIDDEN * EXPERT + 256 * HIDDEN;
  const streams = 2 * (24 * 4 * HIDDEN + 24 + 3);
  const layer = attention + mixture + streams + 2 * HIDDEN;
  const byToken = 3 * 129_280 * 6 + 40 * 256;
  const head = 4 * 4 * HIDDEN + 4 + 1 + HIDDEN + 2 * 129_280 * HIDDEN;
  const expected = 43 * layer + HEAVY * heavy + SPARSE * (sparse + indexer) + byToken + head;
  expect(numParameters(layoutOf(parseModelConfig(V4_FLASH, "config.json")))).toBe(expected);
  expect(expected / 1e9).toBeCloseTo(284, 0);
});

it("the older form of published files says the same", () => {
  const ratios = Array.from({ length: 44 }, (_, layer) => (layer > 2 && layer % 2 === 1 ? 4 : 128));
  const yarn = { type: "yarn", factor: 16, original_max_position_embeddings: 65_536, beta_fast: 32, beta_slow: 1 };
  const old = { ...V4_FLASH, compress_ratios: ratios, num_hash_layers: 3, qk_rope_head_dim: 64, rope_scaling: yarn };
  const config = parseModelConfig(old, "config.json");
  expect(bytesOf(old, "f16")).toBe(bytesOf(V4_FLASH, "f16"));
  expect(config.ropeOf(3)).toMatchObject({ type: "yarn", theta: 160_000, factor: 16, rotaryDim: 64 });
  const windows = parseModelConfig({ ...old, compress_ratios: ratios.map(() => 0) }, "config.json");
  expect(windows.ropeOf(3)).toEqual({ type: "default", theta: 10_000, rotaryDim: 64 });
});

it("keys, values and a mean of four index keys in half of the layers; memories of n-grams, delta nets and unfinished means", () => {
  const file = new URL("../../test/fixtures/architectures/qwen4_exp_text.json", import.meta.url);
  const { config } = JSON.parse(readFileSync(file, "utf8")) as { readonly config: object };
  expect(bytesOf(config, "f16")).toBe(2 * (2 * 2 * 2 * 16 + (2 * 16) / 4));
  const delta = 4 * (128 * 3 + 4 * 16 * 16);
  const memory = 4 * 4 * 64 * 3 * 3 + 16;
  expect(fixedStateBytes(plannedModel(config, "config.json"))).toBe(2 * delta + memory + 2 * 3 * 4 * 16);
});
