/** @file Benchmarks run and say what they measured; how fast is not a test's business. */
import { describe, expect, it } from "vitest";
import "../node/install.ts";
import { shapeConfig } from "../models/shapes.ts";
import { benchAttention } from "./attention.ts";
import { loadBenchModel } from "./bench-model.ts";
import { benchLoad } from "./load.ts";
import { fillCache } from "./memory.ts";
import { peakOfPrefill } from "./prefill-peak.ts";
import { benchThroughput, randomTokens, testName } from "./throughput.ts";

const BACKEND = { backend: "auto", threads: 1, weights: "auto" } as const;
/** Two layers of 8 KV heads × 128. */
const CONFIG = shapeConfig("qwen3-0.6b", 2);

describe("throughput", () => {
  it("a cache filled at random is as long as a prefilled one", async () => {
    const model = await loadBenchModel("qwen3-1m", BACKEND);
    const options = { prompts: [], generations: [2], depths: [300], kv: ["k4v4"], repeats: 1 };
    const bytes: number[] = [];
    for (const fill of ["prefill", "random"] as const) {
      for await (const row of benchThroughput(model, { ...options, fill })) bytes.push(row.kvBytes);
    }
    expect(bytes[1]).toBe(bytes[0]);
    await model.dispose();
  });

  it("has a row for each depth, test and format, and gives every page back", async () => {
    const model = await loadBenchModel("qwen3-1m", BACKEND);
    const rows = [];
    const options = {
      prompts: [24],
      generations: [3],
      depths: [64, 0],
      kv: ["f16", "k4v4,sinks=0,window=0"],
      repeats: 2,
    };
    for await (const row of benchThroughput(model, options)) rows.push(row);
    expect(rows.map((row) => `${row.test} ${row.kv.slice(0, 4)}`)).toEqual([
      "pp24 f16",
      "pp24 k4v4",
      "tg3 f16",
      "tg3 k4v4",
      "pp24 @ d64 f16",
      "pp24 @ d64 k4v4",
      "tg3 @ d64 f16",
      "tg3 @ d64 k4v4",
    ]);
    for (const row of rows) {
      expect(row.samplesMs).toHaveLength(2);
      expect(row.tokPerSec.median).toBeGreaterThan(0);
      // Pages of 64 tokens, 4 layers, 2 heads, K and V, 128 or 34 bytes a vector.
      const pages = Math.ceil((row.depth + row.nPrompt + row.nGen) / 64);
      expect(row.kvBytes).toBe(pages * 64 * 4 * 2 * 2 * (row.kv === "f16" ? 128 : 34));
    }
    await model.dispose();
  });

  it("names tests as llama-bench does", () => {
    expect([testName(512, 0, 0), testName(0, 128, 0), testName(0, 128, 4096)]).toEqual([
      "pp512",
      "tg128",
      "tg128 @ d4096",
    ]);
  });

  it("random tokens are of the vocabulary and not all the same", () => {
    const tokens = randomTokens(1000, 4096);
    expect(Math.min(...tokens)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...tokens)).toBeLessThan(4096);
    expect(new Set(tokens).size).toBeGreaterThan(800);
  });
});

it("attention alternates formats and compares with f16", async () => {
  const rows = [];
  const options = {
    config: CONFIG,
    backend: "auto",
    threads: [1],
    depths: [100],
    kv: ["f16", "k4v4"],
    repeats: 3,
  } as const;
  for await (const row of benchAttention(options)) rows.push(row);
  expect(rows.map((row) => [row.kv, row.depth, row.threads])).toEqual([
    ["f16", 100, 1],
    ["k4v4", 100, 1],
  ]);
  expect(rows[0]!.ratioToF16).toBe(1);
  for (const row of rows) {
    expect(row.samplesMsPer1k).toHaveLength(3);
    expect(row.msPer1k.min).toBeGreaterThan(0);
  }
});

it("a filled cache has the bytes of its pages: 256 against 66 a vector", async () => {
  const fill = (kv: string) =>
    fillCache({
      config: CONFIG,
      kv,
      tokens: 320,
      backend: "auto",
      threads: 1,
      residentBytes: () => process.memoryUsage().rss,
    });
  const [f16, k4] = [await fill("f16"), await fill("k4v4,sinks=0,window=0")];
  expect(f16.numBytes).toBe(320 * 2 * 8 * 2 * 256);
  expect(k4.numBytes).toBe(320 * 2 * 8 * 2 * 66);
  expect(f16.storageBytes).toBeGreaterThanOrEqual(f16.numBytes);
});

it("peak of a prefill counts the cache and more", async () => {
  const model = await loadBenchModel("qwen3-1m", BACKEND);
  const readings: number[] = [];
  const memory = {
    bytesAfterGc: () => 1000,
    resetPeak: () => readings.push(0),
    sample: () => readings.push(1),
    peak: () => 5000,
  };
  const peak = await peakOfPrefill(model, { kv: "f16", tokens: 600, memory });
  expect(peak.kvBytes).toBe(640 * 4 * 2 * 2 * 128);
  // Pages of the warm-up were resident before and are used again.
  expect(peak.peakGrowthBytes).toBe(4000 + 256 * 4 * 2 * 2 * 128);
  expect(readings, "reset once, then a look after each of three steps").toEqual([0, 1, 1, 1]);
  await model.dispose();
});

it("loading: as many readings of the same bytes, into buffers and into new memory, beside memory and the plan", async () => {
  const gauge = {
    bytesAfterGc: () => 7,
    resetPeak: () => {},
    sample: () => {},
    peak: () => 9,
    cpuMs: () => 0,
    heapBytes: () => 3,
  };
  const options = { backend: "wasm", weights: "auto", threads: 1, repeats: 2, gauge } as const;
  const result = await benchLoad("qwen3-1m", { ...options, signal: new AbortController().signal });
  for (const timings of [result.reads, result.newReads, result.loads]) {
    expect(timings).toHaveLength(2);
    expect(timings.every(({ ms }) => ms > 0)).toBe(true);
  }
  expect(result).toMatchObject({ model: "qwen3-1m", keptAs: "bf16", peakBytes: 2, residentBytes: 0, heapBytes: 0 });
  expect(result.usedBytes).toBeGreaterThan(result.plannedBytes);
});
