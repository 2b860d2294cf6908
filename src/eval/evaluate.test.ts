/** @file Evaluation on the smaller embedded checkpoint; the long comparison with oracle.json is tools/check-oracle.ts. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../node/install.ts";
import { DEFAULT_PROMPT } from "../cli/default-prompt.ts";
import { LLM } from "../engine/llm.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { agreementWithF16 } from "./agreement.ts";
import { allocatedBytes } from "./allocated-bytes.ts";
import { makeContender } from "./compare.ts";
import { evaluate } from "./evaluate.ts";
import { needlePrompts, paragraphsOf, recalls } from "./needle.ts";
import { textChunks } from "./text-chunks.ts";

const TEXT = DEFAULT_PROMPT;
const EXACT = "k4v4,sinks=0,window=0";

let llm: LLM;
beforeAll(async () => {
  llm = await LLM.load("qwen3-1m", { kv: "f16", threads: 1, backend: "wasm" });
});
afterAll(async () => {
  await llm.dispose();
});

const run = (options: Partial<Parameters<typeof evaluate>[1]> = {}) =>
  evaluate(llm, { text: TEXT, kv: [EXACT], ctx: 128, chunks: 2, ...options });

describe("evaluate", () => {
  it("a format compared with itself diverges nowhere", async () => {
    const [row] = await run({ kv: ["f16"] });
    expect(row).toMatchObject({
      kldMean: 0,
      kldMax: 0,
      top1: 1,
      pplRatio: 1,
      bitsPerValue: 16,
      needle: null,
      tokens: 256,
    });
    expect(row!.ppl).toBe(row!.pplBase);
  });

  it("perplexity of the base is that of the logits, computed the long way", async () => {
    const told: { item: string; done: number; total: number }[] = [];
    const [row] = await run({ onProgress: (event) => told.push(event) });
    // What is done besides the chunks takes its time too, and is no progress beyond them.
    expect(told.map(({ item }) => item)).toContain("what attention reads, 2/2");
    for (const [i, { done, total }] of told.entries()) {
      expect(done).toBeGreaterThanOrEqual(told[i - 1]?.done ?? 0);
      expect(done).toBeLessThanOrEqual(total);
    }
    let sum = 0;
    let count = 0;
    for (const chunk of textChunks(llm.tokenizer, TEXT, 128, 2)) {
      const sequence = llm.cache.createSequence();
      const logits = await llm.runner.prefill(sequence, chunk, { logits: "all" });
      sequence.release();
      for (let i = 0; i + 1 < chunk.length; i++) {
        const own = Float64Array.from(logits.subarray(i * llm.config.vocabSize, (i + 1) * llm.config.vocabSize));
        sum += Math.log(own.reduce((total, x) => total + Math.exp(x), 0)) - own[chunk[i + 1]!]!;
        count++;
      }
    }
    expect(count).toBe(2 * 127);
    expect(row!.pplBase / Math.exp(sum / count)).toBeCloseTo(1, 9);
  });

  it("bits and bytes are those allocated: 4 bits and a 16-bit scale of 64 values", async () => {
    const [row] = await run();
    expect(row!.bitsPerValue).toBe(4 + 16 / 64);
    // 4 layers, 2 KV heads, K and V, 128 tokens, 34 and 128 bytes a vector.
    expect(row!.kvBytes).toBe(4 * 2 * 2 * 128 * 34);
    expect(row!.kvBytesBase).toBe(4 * 2 * 2 * 128 * 128);
    // All 128 tokens are in the window: as codes of 8 bits alone, or in 16 bits beside their codes.
    const windows = await run({ kv: ["k4v4", "k4v4,window=16bit"] });
    expect(windows.map(({ bitsPerValue }) => bitsPerValue)).toEqual([8 + 16 / 64, 4 + 16 / 64 + 16]);
  });

  it("formats in company give what each gives alone, in the order asked for", async () => {
    const kv = ["k2v2,sinks=0,window=0", EXACT, "f32"];
    const together = await run({ kv });
    expect(together.map((row) => row.kv)).toEqual(kv);
    const [alone] = await run({ kv: [EXACT] });
    expect({ ...together[1], seconds: 0 }).toEqual({ ...alone, seconds: 0 });
    // Fewer bits diverge more; float caches hardly at all.
    const [k2, k4, f32] = together.map((row) => row.kldMean) as [number, number, number];
    expect(k2).toBeGreaterThan(3 * k4);
    expect(k4).toBeGreaterThan(1000 * f32);
    expect(f32).toBeGreaterThanOrEqual(0);
  });

  it("rates carry 95 % intervals, and the read path is proven for codes and said for the rest", async () => {
    const rows = await run({ kv: ["k2v2,sinks=0,window=0", "k4v4", "f16"], needle: 1, textSource: "a story" });
    for (const row of rows) {
      expect(row.top1Low).toBeLessThan(row.top1);
      expect(row.top1High).toBeGreaterThanOrEqual(row.top1);
      expect(row.needleHigh! - row.needleLow!).toBeGreaterThan(0.4);
      expect([row.needleBaseLow, row.needleBaseHigh]).toEqual([0, expect.closeTo(0.793, 3)]);
      expect(row).toMatchObject({
        needlePrompts: 1,
        textSource: "a story",
        greedy: null,
        needleGrid: null,
        layers: null,
      });
    }
    // 256 positions are four batches.
    expect(rows[0]!.kldMeanSe / rows[0]!.kldMean).toBeGreaterThan(0.01);
    expect(rows[0]!.kldMeanSe / rows[0]!.kldMean).toBeLessThan(1);
    expect(rows.map((row) => row.readPath)).toEqual(["packed", "window", "float"]);
  });

  it("greedy, grid and noise are there when asked for, one a format", async () => {
    const rows = await run({
      kv: ["k2v2,sinks=0,window=0", "f16"],
      ctx: 300,
      chunks: 1,
      greedy: { prompts: 3, tokens: 8 },
      needleGrid: { lengths: [256], depths: [0, 1], prompts: 1 },
      diagnose: true,
    });
    expect(rows[1]!.greedy).toMatchObject({ exactMatch: 1, prompts: 3, tokensBeforeDivergence: 1 });
    expect(rows[0]!.greedy!.exactMatch).toBeLessThan(1);
    expect(rows[0]!.needleGrid!.map(({ depth }) => depth)).toEqual([0, 1]);
    expect(rows[0]!.layers!.length).toBe(4);
    expect(rows[0]!.layers![0]!.keyError).toBeGreaterThan(0.05);
    expect(rows[1]!.layers![0]!.keyError).toBeLessThan(1e-5);
    expect(llm.cache.numBytes).toBe(0);
  });

  it("chunks can be skipped, and a text without more of them is refused", async () => {
    const ids = llm.tokenizer.encode(TEXT, { addSpecialTokens: false });
    const count = Math.floor(ids.length / 128);
    const [last] = await run({ kv: ["f16"], chunks: 9, skipChunks: count - 1 });
    expect(last!.chunks).toBe(1);
    const [chunk] = textChunks(llm.tokenizer, TEXT, 128, 1, count - 1);
    expect([...chunk!]).toEqual(ids.slice((count - 1) * 128, count * 128));
    await expect(run({ skipChunks: count })).rejects.toThrow(`fewer than ${count + 1} chunks of 128`);
  });

  it("a text shorter than one chunk is refused with what to do", async () => {
    const short = "Only a few words.";
    await expect(run({ text: short })).rejects.toThrow(
      /the text has \d tokens, fewer than one chunk of 128; pass a longer --text or a smaller --ctx/,
    );
    await expect(run({ text: "" })).rejects.toThrow(/the text has 0 tokens/);
    expect(llm.cache.numBytes).toBe(0);
  });

  it("ctx and text are checked against the model", async () => {
    await expect(run({ ctx: 4096 * 4 })).rejects.toThrow(/ctx: expected 2 to/);
    await expect(run({ ctx: 2048 })).rejects.toThrow(/fewer than one chunk/);
    await expect(run({ kv: ["k4v9"] })).rejects.toThrow(/k4v9/);
    expect((await run({ chunks: 99, kv: ["f16"] }))[0]!.chunks).toBeLessThan(9);
  });

  it("can be stopped", async () => {
    const abort = new AbortController();
    const running = run({ signal: abort.signal, onProgress: () => abort.abort() });
    await expect(running).rejects.toMatchObject({ name: "AbortError" });
    expect(llm.cache.numBytes).toBe(0);
  });
});

describe("needle", () => {
  it("prompts repeat with the seed, hide three codes and ask for one of them", async () => {
    const [a, b] = [await needlePrompts(llm.tokenizer, TEXT, 2), await needlePrompts(llm.tokenizer, TEXT, 2)];
    expect(a).toEqual(b);
    expect(a[0]).not.toEqual(a[1]);
    expect(await needlePrompts(llm.tokenizer, TEXT, 1, 6)).not.toEqual([a[0]]);
    for (const { prompt, answer } of a) {
      const text = llm.tokenizer.decode(prompt);
      const code = llm.tokenizer.decode(answer);
      expect(code).toMatch(/^ \d{5}$/);
      const subject = /The secret code of ([^.]+?) is$/.exec(text)![1]!;
      expect(text).toContain(`The secret code of ${subject} is${code}. Remember it.`);
      expect(text).toContain(`\nWhat is the secret code of ${subject}?<|im_end|>`);
    }
  });

  it("a hit is every token of the answer being the most likely one", async () => {
    const prompt = llm.tokenizer.encode("It was a dark and stormy");
    const contender = makeContender(llm.decoder, 64);
    const greedy: number[] = [];
    for await (const { token } of llm.generate(prompt, { maxNewTokens: 4, temperature: 0, ignoreEos: true })) {
      if (token !== undefined) greedy.push(token);
    }
    expect(await recalls(contender, { prompt, answer: greedy })).toBe(true);
    for (let i = 0; i < greedy.length; i++) {
      const wrong = greedy.with(i, (greedy[i]! + 1) % 4096);
      expect(await recalls(contender, { prompt, answer: wrong }), `token ${i} changed`).toBe(false);
    }
  });

  it("a text without paragraphs is cut into words", () => {
    const pieces = paragraphsOf("word ".repeat(1000));
    expect(pieces.length).toBeGreaterThan(5);
    expect(pieces.every((piece) => piece.length > 400 && piece.length < 420)).toBe(true);
    expect(paragraphsOf("")).toEqual([]);
  });
});

it("what a text is too short for is refused before its chunks are read", async () => {
  const events: unknown[] = [];
  const options = {
    text: "a word ".repeat(40),
    kv: ["f16"],
    ctx: 16,
    chunks: 1,
    onProgress: (event: unknown) => events.push(event),
  };
  await expect(evaluate(llm, { ...options, greedy: { prompts: 1, tokens: 4 } })).rejects.toThrow(
    /fewer than one greedy prompt/,
  );
  await expect(evaluate(llm, { ...options, text: "a word ".repeat(20), needle: 1 })).rejects.toThrow(/no paragraph/);
  expect(events).toEqual([]);
});

it("allocatedBytes is what a session of that length has", async () => {
  for (const kv of ["f16", "k4v4", "k5v3,window=70,sinks=20"]) {
    const decoder = llm.decoder.withFormat(parseKvSpec(kv));
    const { runner, cache } = makeContender(decoder, 400);
    const sequence = cache.createSequence();
    await runner.prefill(sequence, new Int32Array(300).fill(5), { logits: "none" });
    expect(allocatedBytes(llm.config, parseKvSpec(kv), 300), kv).toBe(sequence.numBytes);
    sequence.release();
    decoder.dispose();
  }
});

it("agreement with f16 is total for f16 itself", async () => {
  const tokens = llm.tokenizer.encode("The captain stood upon the deck and looked out over the grey water.");
  const agreement = await agreementWithF16(llm, tokens);
  expect(agreement).toMatchObject({ positions: tokens.length, top1: 1, top1High: 1, kldMean: 0 });
  // A handful of positions proves little, and the interval says so.
  expect(agreement.top1Low).toBeGreaterThan(0.5);
  expect(agreement.top1Low).toBeLessThan(0.95);
  expect(agreement.kvBytes).toBe(agreement.kvBytesF16);
});
