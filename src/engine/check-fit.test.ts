/** @file What is refused before loading, and that the numbers and the ways out that it names are right. */
import { describe, expect, it } from "vitest";
import "../node/install.ts";
import type { BackendMemory } from "../backends/ops.ts";
import { backendOf } from "../backends/registry.ts";
import { inOneMemory, numMemories } from "../models/placement.ts";
import { shapeConfig } from "../models/shapes.ts";
import { planTogether } from "../plan/memory-plan.ts";
import { modelOfConfig } from "../plan/planned-model.ts";
import { checkFit, type FitOptions } from "./check-fit.ts";
import { LLM } from "./llm.ts";

const GiB = 2 ** 30;
const WASM: BackendMemory = { what: "the wasm backend", bytes: 4 * GiB, count: 16, bindingBytes: 4 * GiB };
const ONE: BackendMemory = { what: "the wasm backend", bytes: 4 * GiB, bindingBytes: 4 * GiB };
const GPU: BackendMemory = { what: "a GPU", bytes: Number.POSITIVE_INFINITY, bindingBytes: 4 * GiB };
const SMALL_GPU: BackendMemory = { what: "a phone", bytes: Number.POSITIVE_INFINITY, bindingBytes: 128 * 2 ** 20 };

const small = modelOfConfig(shapeConfig("qwen3-0.6b"), "qwen3-0.6b");
const large = modelOfConfig(shapeConfig("qwen3-8b"), "qwen3-8b");
const on = (backend: string) => ({ backend, capabilities: backendOf(backend).capabilities });
const base = { ...on("wasm"), model: small, memory: WASM, kv: "k4v4", weights: "auto" } as const;

/** The error of a load that is refused. */
function refused(options: Partial<FitOptions>): { code: string; message: string; detail: Record<string, number> } {
  try {
    checkFit({ ...base, ...options });
  } catch (error) {
    return error as never;
  }
  throw new Error("it was not refused");
}

describe("what fits", () => {
  it("a context that fits is taken as asked, without a word", () => {
    const placement = inOneMemory(28);
    expect(checkFit({ ...base, context: 4096 })).toEqual({ contextLength: 4096, note: null, placement });
    expect(checkFit(base)).toEqual({ contextLength: small.maxPositionEmbeddings, note: null, placement });
  });

  it("a model larger than a memory goes into several, with room for the budget where there is that much", () => {
    const memories = (options: Partial<FitOptions>): number => numMemories(checkFit({ ...base, ...options }).placement);
    const asked = { model: large, weights: "q4", context: 32_768 } as const;
    expect(memories(asked)).toBe(2);
    expect(memories({ ...asked, kvBudgetBytes: 8e9 })).toBe(4);
    expect(memories({ ...asked, kvBudgetBytes: 1e12 })).toBe(2);
    expect(refused({ ...asked, memory: ONE }).message).toMatch(/more than the 4\.29 GB of the wasm backend/);
    expect(refused({ ...asked, memory: { ...WASM, bytes: 600e6 } }).message).toMatch(
      /600 MB of one memory of the wasm backend, which has to hold a layer or the embedding as a whole/,
    );
  });

  it("the machine's own memory is a limit, of the CPU's backends", () => {
    const { message } = refused({ model: large, machineBytes: 10e9 });
    expect(message).toMatch(
      /weights of qwen3-8b need 16\.4 GB .* 10\.0 GB of this machine's memory; --weights q8 takes/,
    );
    expect(refused({ memoryBytes: 1e9, machineBytes: 10e9 }).message).toContain("1.00 GB of the memory given");
    expect(checkFit({ ...base, model: large, kv: "f32", machineBytes: 24e9 }).note).toMatch(
      /more than the 24\.0 GB of this machine/,
    );
  });

  it("weights beyond 4 GiB name the types that would fit, or the other backend", () => {
    const { code, message, detail } = refused({ model: large, memory: ONE });
    expect(code).toBe("out_of_memory");
    expect(message).toMatch(/weights of qwen3-8b need 16\.4 GB .* 4\.29 GB of the wasm backend; .*q4 would take \d/);
    expect(message).toContain("--backend webgpu");
    expect(detail.weightBytes).toBeGreaterThan(16e9);
    expect(refused({ memoryBytes: 1e9 }).message).toMatch(/--weights q8 takes \d+ MB/);
    const given = refused({ memoryBytes: 100e6 }).message;
    expect(given).toMatch(
      /more than the 100 MB of the memory given \(--memory\); --weights q8 would take \d+ MB, --weights q4 would/,
    );
    expect(given).not.toContain("4 GiB");
  });

  it("a context that does not fit names the longest that does, and that one is taken", () => {
    for (const options of [
      { kv: "f32", context: 32_768, memory: ONE },
      { kv: "f16", context: 20_000, kvBudgetBytes: 1e9 },
      { kv: "f16", context: 30_000, memoryBytes: 2.2e9 },
      { kv: "f16", context: 40_000, ...on("webgpu"), memory: SMALL_GPU },
    ] as const) {
      const { code, message, detail } = refused(options);
      expect(code).toBe("out_of_memory");
      expect(detail.longest).toBeGreaterThan(0);
      expect(message).toContain(`--ctx ${detail.longest} fits`);
      expect(checkFit({ ...base, ...options, context: detail.longest })).toMatchObject({
        contextLength: detail.longest,
        note: null,
      });
      expect(refused({ ...options, context: detail.longest! + 64 }).detail.longest).toBe(detail.longest);
      const other = /--kv (\S+) fits/.exec(message)?.[1];
      expect(other, message).toBeDefined();
      expect(checkFit({ ...base, ...options, kv: other! }).contextLength).toBe(options.context);
    }
  });

  it("formats that are asked for besides are counted beside the first", () => {
    const options = {
      kv: "k4v4",
      otherKv: ["f16", "k2v2"],
      context: 30_000,
      memoryBytes: 5e9,
      ...on("webgpu"),
      memory: GPU,
    };
    // Each of them fits alone.
    for (const kv of [options.kv, ...options.otherKv]) {
      expect(checkFit({ ...base, ...options, kv, otherKv: [] }).contextLength).toBe(30_000);
    }
    const { code, message, detail } = refused(options);
    expect(code).toBe("out_of_memory");
    expect(message).toMatch(
      /^context: 30,000 tokens of k4v4, f16, k2v2 do not fit: .*; --ctx \d+ fits with --kv k4v4,f16,k2v2, name fewer formats at once$/,
    );
    expect(detail.longest).toBeGreaterThan(10_000);
    expect(checkFit({ ...base, ...options, context: detail.longest }).contextLength).toBe(detail.longest);
    const { contextLength, note } = checkFit({ ...base, ...options, context: undefined });
    expect(contextLength).toBe(detail.longest);
    expect(note).toContain("of the memory given");
  });

  it("what the process keeps of a calibration takes memory, but none of the backend's", () => {
    const calibrated = { ...large, isCalibrated: true };
    const { hostBytes, totalBytes } = planTogether(calibrated, {
      kv: ["k4v4"],
      backend: "wasm",
      weights: "q4",
      memories: { bytes: 1e12, count: 1 },
    }).at(4096);
    // Qwen3-8B: 36 layers of 8 KV heads of 128.
    expect(hostBytes).toBe(36 * 8 * 4 * (256 + 2 * (128 * 128 + 128) + 2 * (3 * 128 * 128 + 128)) + 8 * 128 * 128);
    const asked = { model: calibrated, ...on("wasm"), weights: "q4", context: 4096 } as const;
    const fits = (options: Partial<FitOptions>): number => checkFit({ ...base, ...asked, ...options }).contextLength;
    const memory = { ...ONE, bytes: totalBytes - hostBytes };
    expect(fits({ memory })).toBe(4096);
    expect(() => fits({ memory: { ...memory, bytes: memory.bytes - 1 } })).toThrow("do not fit");
    expect(fits({ memory: GPU, memoryBytes: totalBytes })).toBe(4096);
    expect(() => fits({ memory: GPU, memoryBytes: totalBytes - 1 })).toThrow("do not fit");
  });

  it("names the budget that would do, when the budget is what is in the way", () => {
    const options = { kvBudgetBytes: 1e8, context: 20_000 };
    const { message } = refused(options);
    const megabytes = Number(/--kv-budget (\d+)MB holds/.exec(message)?.[1]);
    expect(checkFit({ ...base, ...options, kvBudgetBytes: megabytes * 1e6 }).contextLength).toBe(20_000);
    expect(() => checkFit({ ...base, ...options, kvBudgetBytes: (megabytes - 2) * 1e6 })).toThrow("do not fit");
  });

  it("without a wish the context is what fits, and that is said", () => {
    const { contextLength, note } = checkFit({ ...base, kv: "f16", ...on("webgpu"), memory: SMALL_GPU });
    expect(contextLength).toBeLessThan(small.maxPositionEmbeddings);
    expect(contextLength).toBeGreaterThan(25_000);
    expect(note).toMatch(
      /context: [\d,]+ of the model's 40,960 tokens, because the pages of one layer take .* the device binds at most 134 MB/,
    );
    // A budget is for all sequences together; it makes none of them shorter.
    expect(checkFit({ ...base, kvBudgetBytes: 1e8 }).contextLength).toBe(small.maxPositionEmbeddings);
  });

  it("LLM.load refuses before it reads the weights", async () => {
    const read: string[] = [];
    const onProgress = (event: { item: string }) => read.push(event.item);
    await expect(LLM.load("qwen3-3m", { backend: "wasm", memoryBytes: 2e6, onProgress })).rejects.toMatchObject({
      code: "out_of_memory",
      message: expect.stringMatching(/weights of qwen3-3m need [\d.]+ MB/),
    });
    await expect(
      LLM.load("qwen3-3m", { backend: "wasm", contextLength: 2000, kvBudgetBytes: 1e6, kv: "f16", onProgress }),
    ).rejects.toMatchObject({
      code: "out_of_memory",
      message: expect.stringMatching(/2,000 tokens of f16 do not fit/),
    });
    expect(read).toEqual([]);
    await using llm = await LLM.load("qwen3-3m", { backend: "wasm", threads: 1, memoryBytes: 40e6, kv: "f16" });
    expect(llm.runner.contextLength).toBeLessThanOrEqual(llm.config.maxPositionEmbeddings);
  });
});
