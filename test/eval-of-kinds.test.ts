/** @file Evaluation, diagnosis, allocation and calibration of models whose layers differ: they work where there are codes, and say so where not. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { createWasmBackend } from "../src/backends/wasm/backend.ts";
import { allocate } from "../src/eval/allocate.ts";
import { calibrate } from "../src/eval/calibrate.ts";
import { evaluate } from "../src/eval/evaluate.ts";
import { LLM } from "../src/index.ts";
import { parseKvSpec } from "../src/quant/parse-kv-spec.ts";
import { seededSource } from "./support/seeded-checkpoint.ts";

/** A name, a file, the layers with keys and values. */
const KINDS: [kind: string, model: string, attention: readonly number[]][] = [
  ["unequal widths, with zeros behind them", "mimo_v2_flash-heads", [0, 1, 2]],
  ["projections stored the other way round", "gpt2-heads", [0, 1]],
  ["heads of other sizes, and layers that share another's", "gemma4_text", [0, 1, 2, 3]],
  ["chunked attention", "llama4_text", [0, 1, 2, 3]],
  ["projections of experts", "jetmoe", [0, 1]],
  ["blocks that layers share", "zamba2", [1, 2]],
  ["a delta net", "qwen3_5_text", [3]],
  ["Mamba-1", "jamba", [2]],
  ["layers without a cache", "nemotron_h", [2]],
];

/** Two thousand characters, each a token. */
const TEXT = Array.from({ length: 2000 }, (_, i) => "the old ship sailed on "[(i * i + 3 * i) % 23]).join("");
const EVAL = { text: TEXT, ctx: 96, chunks: 1 } as const;
const load = async (model: string): Promise<LLM> =>
  LLM.load(seededSource(model), { kv: "f16", backend: await createWasmBackend({ threads: 1 }) });

describe.each(KINDS)("%s", (_kind, model, attention) => {
  let llm: LLM;
  beforeAll(async () => {
    llm = await load(model);
  });
  afterAll(() => llm.dispose());

  it("are evaluated and diagnosed", async () => {
    const [row] = await evaluate(llm, { ...EVAL, kv: ["k4v4,sinks=0,window=0"], diagnose: true });
    expect(row!.readPath).toBe("packed");
    expect(row!.kldMean).toBeGreaterThan(0);
    expect(row!.bitsPerValue).toBeGreaterThan(4);
    expect(row!.layers!.map(({ layer }) => layer)).toEqual(attention);
    for (const { logitNoise, logitNoiseLaw, valueError } of row!.layers!) {
      expect(logitNoise! / logitNoiseLaw!).toBeGreaterThan(0.3);
      expect(logitNoise! / logitNoiseLaw!).toBeLessThan(3);
      expect(valueError).toBeLessThan(0.02);
    }
  });

  it("have their bits allocated", async () => {
    const asked = { ...EVAL, kv: "k3v3,sinks=0,window=0", bits: 3, widths: [2, 3, 4], measure: [3], verifyChunks: 1 };
    const { attentionLayers, candidates } = await allocate(llm, asked);
    expect(attentionLayers).toEqual(attention);
    const uniform = candidates.find(({ layers }) => layers.every(({ k, v }) => k === 3 && v === 3))!;
    const bytes = llm.cache.layers.map(({ main: { numKvHeads, headDim, valueDim } }) => {
      return numKvHeads * ((3 * (headDim + valueDim)) / 8 + 4);
    });
    expect(uniform.bytesPerToken).toBe(bytes.reduce((sum, each) => sum + each, 0));
    for (const { bits, bytesPerToken } of candidates) {
      expect(bits).toBeLessThanOrEqual(3);
      expect(bytesPerToken).toBeLessThanOrEqual(uniform.bytesPerToken);
    }
  });

  it("are calibrated", async () => {
    const { layers, attentionLayers, measured } = await calibrate(llm, {
      text: TEXT,
      tokens: 1024,
      ctx: 128,
      check: true,
    });
    expect(attentionLayers).toEqual(attention);
    for (const [layer, own] of layers.entries()) expect(own !== null).toBe(attention.includes(layer));
    for (const [i, layer] of attention.entries()) {
      const { numKvHeads, headDim, valueDim } = llm.cache.layers[i]!.main;
      expect(layers[layer]!.key!.metric).toHaveLength(numKvHeads * headDim);
      expect(layers[layer]!.value!.metric).toHaveLength(numKvHeads * valueDim);
    }
    expect(measured!.kldWith).toBeLessThan(1.3 * measured!.kldWithout);
  });
});

it("latent rows are evaluated; what looks at heads is refused by name, with what works", async () => {
  await using llm = await load("minicpm3");
  const [row] = await evaluate(llm, { ...EVAL, kv: ["k4v4,sinks=0,window=0"] });
  expect(row!.readPath).toBe("packed");
  const message =
    /latent attention has no keys and values of heads .*compare formats with turboquant eval, calibration=off/;
  await expect(evaluate(llm, { ...EVAL, kv: ["k4v4"], diagnose: true })).rejects.toThrow(message);
  await expect(calibrate(llm, { text: TEXT, tokens: 1024, ctx: 128 })).rejects.toThrow(
    /calibrate: latent attention has no keys and values of heads, so there is nothing to calibrate .*calibration=off/,
  );
  const asked = { ...EVAL, kv: "k3v3", bits: 3, widths: [2, 3], measure: [3], verifyChunks: 1 };
  await expect(allocate(llm, asked)).rejects.toThrow(message);
});

it("a model of states alone has no formats to compare, and says so", async () => {
  await using llm = await load("mamba2");
  const [row] = await evaluate(llm, { ...EVAL, kv: ["k4v4"], diagnose: true });
  expect(row).toMatchObject({ kldMean: 0, bitsPerValue: 0, layers: [], readPath: "float" });
  const message = /mamba2 has no layer with keys and values, only states of fixed size in f32/;
  const asked = { ...EVAL, kv: "k3v3", bits: 3, widths: [2, 3], measure: [3], verifyChunks: 1 };
  await expect(allocate(llm, asked)).rejects.toThrow(message);
  await expect(calibrate(llm, { text: TEXT, tokens: 1024, ctx: 128 })).rejects.toThrow(
    /calibrate: there is no layer with keys and values, so there is nothing to calibrate/,
  );
});

it("kinds of layers have formats of their own, wherever a format is given", async () => {
  await using llm = await load("olmo3");
  await using other = await llm.withKv("k4v4,layers=sliding:f16");
  expect(other.cache.layers.map(({ format }) => format.k.kind)).toEqual(["float", "float", "float", "scalar"]);
  const [row] = await evaluate(llm, { ...EVAL, kv: ["k4v4,sinks=0,window=0,layers=sliding:f16"] });
  expect(row!.kvBytes).toBeLessThan(row!.kvBytesBase);
  await expect(llm.withKv("k4v4,layers=latent:f16")).rejects.toThrow(
    /layers=latent: the model has no such layer; its layers with keys and values are full and sliding/,
  );
  expect(() => parseKvSpec("k4v4,layers=sliding:f16").forModel([["full"]])).toThrow(/its layers .* are full$/);
});
