import { describe, expect, it } from "vitest";
import { layerCache } from "../cache/layer-cache.ts";
import "../node/install.ts";
import type { AttentionLayer } from "../backends/ops.ts";
import { DEFAULT_PROMPT } from "../cli/default-prompt.ts";
import { LLM } from "../engine/llm.ts";
import { CounterRng } from "../math/rng.ts";
import type { LayerCalibration } from "../quant/calibration.ts";
import { getCodebook } from "../quant/codebook.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { PreparedLayer } from "../quant/prepared-layer.ts";
import { diagnoseFormats, diagnoseLayer } from "./diagnose.ts";
import { captureVectors, type LayerVectors } from "./tap.ts";

const SHAPE = {
  index: 0,
  numHeads: 4,
  numKvHeads: 2,
  headDim: 64,
  valueDim: 64,
  rotaryKeyDim: 0,
  slidingWindow: 0,
  scale: 1 / 8,
};

const layerOf = (kv: string, calibration: LayerCalibration | null = null): AttentionLayer => ({
  ...SHAPE,
  cache: layerCache(parseKvSpec(kv).forLayer(0), SHAPE),
  kv: new PreparedLayer(parseKvSpec(kv).forLayer(0), SHAPE, calibration),
  valueScale: 1,
  softcap: 0,
  sinkLogits: null,
  qNorm: null,
  kNorm: null,
  rope: 0,
  normEps: 0,
});

/** Independent Gaussian vectors; queries of RMS 2 before the scale, keys of RMS 3 around `mean`. */
function gaussianVectors(tokens: number, mean = 0): LayerVectors {
  const rng = new CounterRng(17, 4);
  let n = 0;
  const draw = (length: number, rms: number, center = 0) =>
    Float32Array.from({ length }, () => center + rms * rng.gaussian(n++));
  return {
    queries: draw(tokens * 4 * 64, 2 / 8),
    keys: draw(tokens * 2 * 64, 3, mean),
    values: draw(tokens * 2 * 64, 1),
  };
}

describe("diagnoseLayer", () => {
  it("finds the noise of the law, rms(q) · rms(k) · √D_b, on Gaussian heads", () => {
    const vectors = gaussianVectors(400);
    for (const bits of [2, 3, 4, 6]) {
      const { distortion } = getCodebook(64, bits);
      const found = diagnoseLayer(layerOf(`paper-${bits}`), vectors);
      // 32 query rows of 4 heads (128 vectors of 64) and 800 keys: 5 % is four standard deviations of rms(q).
      expect(found.logitNoiseLaw! / (6 * Math.sqrt(distortion)), `${bits} bits`).toBeCloseTo(1, 1);
      expect(found.logitNoise! / found.logitNoiseLaw!, `${bits} bits`).toBeGreaterThan(0.95);
      expect(found.logitNoise! / found.logitNoiseLaw!, `${bits} bits`).toBeLessThan(1.05);
      // 51,200 coordinates of relative error: 3 % is five standard deviations at 6 bits.
      expect(found.keyError / distortion, `${bits} bits`).toBeGreaterThan(0.97);
      expect(found.keyError / distortion, `${bits} bits`).toBeLessThan(1.03);
      expect(found.keyCosine).toBeCloseTo(Math.sqrt(1 - distortion), 2);
      expect(found.valueCosine).toBeCloseTo(Math.sqrt(1 - distortion), 2);
      expect(found.rmsK).toBeCloseTo(3, 1);
    }
  });

  it("sees the sketch: less error in the codes' place, π/2 · D(b − 1) in the logits", () => {
    const vectors = gaussianVectors(300);
    const sketched = diagnoseLayer(layerOf("paper-4+qjl"), vectors);
    const expected = 6 * Math.sqrt((Math.PI / 2) * getCodebook(64, 3).distortion);
    expect(sketched.logitNoise! / expected).toBeGreaterThan(0.9);
    expect(sketched.logitNoise! / expected).toBeLessThan(1.1);
  });

  it("leaves out what sinks and window hold in 16 bit", () => {
    const vectors = gaussianVectors(100);
    expect(diagnoseLayer(layerOf("k4v4"), vectors)).toMatchObject({ logitNoise: null, scoreCosine: null });
    // Only queries from position 99 on see a code, and that is token 0.
    expect(diagnoseLayer(layerOf("k4v4,sinks=0,window=99"), vectors).logitNoise).not.toBeNull();
    expect(diagnoseLayer(layerOf("k4v4,sinks=0,window=100"), vectors).logitNoise).toBeNull();
    expect(diagnoseLayer(layerOf("k4v4,sinks=1,window=99"), vectors).logitNoise).toBeNull();
  });

  it("a calibration that takes the mean away takes its noise away", () => {
    const vectors = gaussianVectors(300, 12);
    const calibration = {
      keyMean: new Float32Array(128).fill(12),
      balance: new Float32Array(128).fill(1),
      key: null,
      value: null,
    };
    const [without, with_] = [undefined, calibration].map((c) =>
      diagnoseLayer(layerOf("paper-4", c ?? null), vectors),
    ) as [ReturnType<typeof diagnoseLayer>, ReturnType<typeof diagnoseLayer>];
    // √(12² + 3²) / 3 = 4.1
    expect(without.logitNoise! / with_.logitNoise!).toBeGreaterThan(3.5);
    expect(with_.rmsK).toBeCloseTo(3, 1);
  });

  it("codes KIVI page by page, and has no law for it", () => {
    const found = diagnoseLayer(layerOf("kivi-4"), gaussianVectors(200));
    // Uniform 4-bit codes of 64 Gaussian numbers between their extremes (about 4.8 σ): (4.8 / 15)² / 12 = 0.0085.
    expect(found.keyError).toBeGreaterThan(0.006);
    expect(found.keyError).toBeLessThan(0.011);
    expect(found.valueError / found.keyError).toBeGreaterThan(0.8);
    expect(found.valueError / found.keyError).toBeLessThan(1.25);
    expect(found.logitNoise! / (6 * Math.sqrt(found.keyError))).toBeCloseTo(1, 0);
    expect(found.logitNoiseLaw).toBeNull();
  });

  it("an f16 side has hardly any error and no law", () => {
    const found = diagnoseLayer(layerOf("paper-2,k=f16"), gaussianVectors(64));
    expect(found).toMatchObject({ logitNoiseLaw: null });
    expect(found.logitNoise!).toBeLessThan(0.01);
    expect(found.valueError).toBeGreaterThan(0.1);
  });
});

describe("captureVectors", () => {
  it("gives the same queries, keys and values on every backend, in their places", async () => {
    const tokens = async (llm: LLM) => Int32Array.from(llm.tokenizer.encode(DEFAULT_PROMPT)).subarray(0, 150);
    await using plain = await LLM.load("qwen3-1m", { backend: "reference" });
    await using wasm = await LLM.load("qwen3-1m", { backend: "wasm", threads: 1 });
    const expected = await captureVectors(plain, await tokens(plain));
    const found = await captureVectors(wasm, await tokens(wasm));
    expect(found.length).toBe(4);
    for (const [layer, own] of found.entries()) {
      for (const part of ["queries", "keys", "values"] as const) {
        let worst = 0;
        for (const [i, value] of own[part].entries())
          worst = Math.max(worst, Math.abs(value - expected[layer]![part][i]!));
        expect(worst, `${part} of layer ${layer}`).toBeLessThan(2e-3);
        expect(own[part].length).toBe(150 * (part === "queries" ? 4 : 2) * 64);
      }
      // The query of the last row is no row of zeros that nobody filled.
      expect(own.queries.subarray(-256).some((value) => Math.abs(value) > 0.01)).toBe(true);
    }
    expect(wasm.cache.numBytes).toBe(0);
  });

  it("the law predicts the noise of a real model within a fifth", async () => {
    await using llm = await LLM.load("qwen3-1m", { backend: "wasm", threads: 1 });
    const tokens = Int32Array.from(llm.tokenizer.encode(DEFAULT_PROMPT)).subarray(0, 300);
    const decoder = llm.decoder.withFormat(parseKvSpec("k4v4,sinks=4,window=0,search=off"));
    const [layers] = await diagnoseFormats(llm, tokens, [decoder]);
    for (const { layer, logitNoise, logitNoiseLaw, keyError } of layers!) {
      expect(logitNoise! / logitNoiseLaw!, `layer ${layer}`).toBeGreaterThan(0.8);
      expect(logitNoise! / logitNoiseLaw!, `layer ${layer}`).toBeLessThan(1.2);
      expect(keyError, `layer ${layer}`).toBeCloseTo(getCodebook(64, 4).distortion, 2);
    }
  });
});
