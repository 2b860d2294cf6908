/** @file How far formats reach on one device, and views with a context of their own. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../node/install.ts";
import { LLM } from "./llm.ts";

describe("longestContext", () => {
  let llm: LLM;
  beforeAll(async () => {
    // Room for a part of the context in 16 bits, and for more of it in fewer.
    const whole = await LLM.load("qwen3-1m", { kv: "f16", backend: "wasm", threads: 1 });
    const { maxPositionEmbeddings } = whole.config;
    expect(whole.longestContext("f16"), "without a limit all formats reach the model's own").toBe(
      maxPositionEmbeddings,
    );
    await whole.dispose();
    let memoryBytes = 64e6;
    for (;;) {
      llm = await LLM.load("qwen3-1m", { kv: "f16", backend: "wasm", threads: 1, memoryBytes });
      if (llm.runner.contextLength < maxPositionEmbeddings) return;
      await llm.dispose();
      memoryBytes *= 0.9;
    }
  });
  afterAll(() => llm?.dispose());

  it("is the context that loading chose, and longer in fewer bits", () => {
    const [f16, k4v4, k2v2] = ["f16", "k4v4", "k2v2"].map((kv) => llm.longestContext(kv)) as [number, number, number];
    expect(f16).toBe(llm.runner.contextLength);
    expect(k4v4).toBeGreaterThan(f16);
    expect(k2v2).toBeGreaterThanOrEqual(k4v4);
    expect(k2v2).toBeLessThanOrEqual(llm.config.maxPositionEmbeddings);
  });

  it("is what a view may have; without a wish it has this model's", async () => {
    const longest = llm.longestContext("k4v4");
    await using view = await llm.withKv("k4v4", { contextLength: longest });
    expect(view.runner.contextLength).toBe(longest);
    await using plain = await llm.withKv("k4v4");
    expect(plain.runner.contextLength).toBe(llm.runner.contextLength);
    await expect(llm.withKv("k4v4", { contextLength: longest + 64 })).rejects.toThrow(
      /contextLength: expected 1 to \d+ \(what this device holds in k4v4/,
    );
    await expect(llm.withKv("k4v4", { ctx: 64 } as object)).rejects.toThrow(/ctx/);
  });

  it("refuses what is no format", () => {
    expect(() => llm.longestContext("k9v9")).toThrow(/k9v9/);
  });
});
