import { afterAll, beforeAll, expect, it } from "vitest";
import "../node/install.ts";
import { DEFAULT_PROMPT } from "../cli/default-prompt.ts";
import { LLM } from "../engine/llm.ts";
import { type AllocateOptions, allocate, bitsForBytes } from "./allocate.ts";
import { evaluate } from "./evaluate.ts";

let llm: LLM;
beforeAll(async () => {
  llm = await LLM.load("qwen3-1m", { kv: "f16", threads: 1, backend: "wasm" });
});
afterAll(async () => {
  await llm.dispose();
});

const run = (options: Partial<AllocateOptions> = {}) =>
  allocate(llm, {
    text: DEFAULT_PROMPT,
    kv: "k4v4,sinks=0,window=0",
    bits: 3,
    widths: [2, 3, 4, 6],
    measure: [2, 4],
    ctx: 128,
    chunks: 1,
    verifyChunks: 2,
    ...options,
  });

it("keeps the budget, predicts from what it measured, and beats uniform widths where they are wrong", async () => {
  const found = await run();
  // 4 layers, 2 sides, 2 widths.
  expect(found.sensitivities.length).toBe(16);
  for (const layer of [0, 1, 2, 3]) {
    for (const side of ["k", "v"]) {
      const [two, four] = found.sensitivities.filter((s) => s.layer === layer && s.side === side);
      expect(two!.kldMean, `${side} of layer ${layer}`).toBeGreaterThan(four!.kldMean);
    }
  }
  expect(found.logitNoiseLaw.every((noise) => noise > 0)).toBe(true);
  expect(found.candidates[0]!.origin).toBe("measured");
  for (const { origin, layers, bits, bytesPerToken, row, kv } of found.candidates) {
    expect(bits, origin).toBeLessThanOrEqual(3);
    expect(bits).toBe(layers.reduce((sum, { k, v }) => sum + k + v, 0) / 8);
    // Codes and scales, as allocated: no sinks, no window.
    expect(bytesPerToken * 128, kv).toBe(row.kvBytes);
  }
  const uniform = found.candidates.filter((c) => c.origin === "uniform").map((c) => c.kv.split(",")[0]);
  expect(uniform).toEqual(["k2v4", "k3v3", "k4v2"]);
  // Optimal for the sum of costs, so predicted to be no worse than any other candidate.
  for (const { kldPredicted } of found.candidates) {
    expect(found.candidates[0]!.kldPredicted).toBeLessThanOrEqual(kldPredicted + 1e-12);
  }
  expect(found.best.row.kldMean).toBe(Math.min(...found.candidates.map((c) => c.row.kldMean)));
  expect(found.gain.mean).toBeCloseTo(found.bestUniform.row.kldMean - found.best.row.kldMean, 12);
  // Paired: the text's own spread cancels.
  const { best, bestUniform, gain } = found;
  if (best !== bestUniform) {
    expect(gain.standardError).toBeLessThan(Math.hypot(best.row.kldMeanSe, bestUniform.row.kldMeanSe));
  }
});

it("verifies on chunks that it has not measured on", async () => {
  const found = await run({ measure: [4], chunks: 2, verifyChunks: 1 });
  const [row] = await evaluate(llm, {
    text: DEFAULT_PROMPT,
    kv: [found.candidates[0]!.kv],
    ctx: 128,
    chunks: 1,
    skipChunks: 2,
  });
  expect(found.candidates[0]!.row.kldMean).toBe(row!.kldMean);
  expect(found.candidates[0]!.row.chunks).toBe(1);
});

it("a budget in bytes is one in bits, scales taken off", () => {
  // 4 layers, 2 heads, K and V of 64: 16 vectors of 32 + 2 bytes at 4 bits.
  expect(bitsForBytes(llm, 16 * 34)).toBe(4);
  expect(bitsForBytes(llm, 16 * 34 * 2)).toBeCloseTo(8.25, 12);
});

it("a token has its part of a row that several tokens share", () => {
  const layers = llm.cache.layers.map((layer, i) => ({ ...layer, tokensPerRow: i % 2 === 0 ? 4 : 1 }));
  const like = { cache: { layers } } as unknown as LLM;
  // Two layers of 4 vectors a token, and two of one vector a token.
  expect(bitsForBytes(like, (8 + 2) * 34)).toBe(4);
});

it("refuses before it measures", async () => {
  await expect(run({ bits: 1.5 })).rejects.toThrow(/a budget of 2 to 6 bits a value.*got 1.5/);
  await expect(run({ bits: 7 })).rejects.toThrow(/a budget of 2 to 6/);
  await expect(run({ widths: [4, 3] })).rejects.toThrow(/ascending/);
  await expect(run({ measure: [9] })).rejects.toThrow(/1 to 8 bits/);
  await expect(run({ kv: "paper-4" })).rejects.toThrow(/kNvM/);
  await expect(run({ chunks: 50 })).rejects.toThrow(/expected more than 50, as the verification/);
  expect(llm.cache.numBytes).toBe(0);
});

it("can be stopped", async () => {
  const abort = new AbortController();
  await expect(run({ signal: abort.signal, onProgress: () => abort.abort() })).rejects.toMatchObject({
    name: "AbortError",
  });
  expect(llm.cache.numBytes).toBe(0);
});
