import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../node/install.ts";
import { DEFAULT_PROMPT } from "../cli/default-prompt.ts";
import { LLM } from "../engine/llm.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { makeContender } from "./compare.ts";
import { continueGreedily, firstDivergence, greedyPrompts, summarizeGreedy } from "./greedy.ts";

let llm: LLM;
let ids: number[];
beforeAll(async () => {
  llm = await LLM.load("qwen3-1m", { kv: "f16", threads: 1, backend: "wasm" });
  ids = llm.tokenizer.encode(DEFAULT_PROMPT);
});
afterAll(async () => {
  await llm.dispose();
});

describe("greedyPrompts", () => {
  it("takes one piece from each stretch of the text, the same for the same seed", () => {
    const text = Int32Array.from({ length: 1000 }, (_, i) => i);
    const prompts = greedyPrompts(text, 9, 100);
    expect(prompts).toEqual(greedyPrompts(text, 9, 100));
    expect(prompts).not.toEqual(greedyPrompts(text, 9, 100, 1));
    for (const [i, prompt] of prompts.entries()) {
      expect(prompt.length).toBe(100);
      expect(prompt[99]! - prompt[0]!).toBe(99);
      expect(prompt[0]).toBeGreaterThanOrEqual(Math.floor((i * 901) / 9));
      expect(prompt[0]).toBeLessThanOrEqual(Math.ceil(((i + 1) * 901) / 9));
    }
    expect(greedyPrompts(text, 2, 1000)).toEqual([text, text]);
    expect(() => greedyPrompts(text, 1, 1001)).toThrow(/fewer than one greedy prompt of 1001/);
  });
});

describe("greedy continuations", () => {
  it("are what generate says, one by one or together, and where a format leaves is where its own text does", async () => {
    const prompts = greedyPrompts(ids, 5, 64);
    const base = makeContender(llm.decoder, 256);
    const tokens = 24;
    const continued = await continueGreedily(base, prompts, { tokens, endTokens: llm.eosTokens });
    // Coarse enough that some texts leave, and after different numbers of tokens.
    const kv = "k3v3,sinks=0,window=0,calibration=off";
    const coarse = makeContender(llm.decoder.withFormat(parseKvSpec(kv)), 256);
    const own = await LLM.load("qwen3-1m", { kv, threads: 1, backend: "wasm" });
    try {
      const indices: (number | null)[] = [];
      for (const [i, prompt] of prompts.entries()) {
        const said = async (model: LLM): Promise<number[]> => {
          const out: number[] = [];
          for await (const { token } of model.generate(prompt, { maxNewTokens: tokens, temperature: 0 }))
            if (token !== undefined) out.push(token);
          return out;
        };
        const [exact, other] = [await said(llm), await said(own)];
        expect(continued[i]!.continuation, `prompt ${i}`).toEqual(exact);
        const first = exact.findIndex((token, n) => other[n] !== token);
        expect(await firstDivergence(coarse, continued[i]!), `prompt ${i}`).toBe(first < 0 ? null : first);
        expect(await firstDivergence(base, continued[i]!)).toBeNull();
        indices.push(first < 0 ? null : first);
      }
      expect(new Set(indices).size).toBeGreaterThan(1);
    } finally {
      await own.dispose();
    }
  });

  it("end with the end-of-sequence token", async () => {
    const base = makeContender(llm.decoder, 256);
    const [prompt] = greedyPrompts(ids, 1, 64);
    const [free] = await continueGreedily(base, [prompt!], { tokens: 6, endTokens: new Set() });
    const end = free!.continuation[2]!;
    const [ended] = await continueGreedily(base, [prompt!], { tokens: 6, endTokens: new Set([end]) });
    expect(ended!.continuation).toEqual(free!.continuation.slice(0, free!.continuation.indexOf(end) + 1));
  });
});

describe("summarizeGreedy", () => {
  const prompts = (count: number) =>
    Array.from({ length: count }, () => ({ prompt: new Int32Array(8), continuation: [1, 2, 3, 4] }));

  it("counts, by hand", () => {
    const summary = summarizeGreedy(prompts(4), [null, 0, 2, null], 4);
    expect(summary).toMatchObject({
      prompts: 4,
      promptTokens: 8,
      tokens: 4,
      exactMatch: 0.5,
      firstDivergenceMedian: null,
    });
    // 4 + 0 + 2 + 4 of 16
    expect(summary.tokensBeforeDivergence).toBe(10 / 16);
    expect(summary.exactMatchLow).toBeCloseTo(0.15, 3);
    expect(summary.exactMatchHigh).toBeCloseTo(0.85, 3);
  });

  it("median of odd and even numbers, where never is later than any index", () => {
    const median = (indices: (number | null)[]) =>
      summarizeGreedy(prompts(indices.length), indices, 4).firstDivergenceMedian;
    expect(median([3, 1, null])).toBe(3);
    expect(median([null, null, 1])).toBeNull();
    expect(median([1, 2, 3, null])).toBe(2.5);
    expect(median([0])).toBe(0);
  });
});
