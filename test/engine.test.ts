/** @file The engine as a user meets it, on the embedded checkpoint and the WASM backend. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { BlobSource } from "../src/formats/blob-source.ts";
import { beamSearch, collect, generateBatch, LLM, TurboQuantError } from "../src/index.ts";
import { checkpointPath } from "./support/shared.ts";

const MODEL = checkpointPath("qwen3-1m")!;
const PROMPT = "Once upon a time there was a little girl who lived";

let llm: LLM;
beforeAll(async () => {
  llm = await LLM.load(MODEL, { kv: "k4v4", threads: 2 });
});
afterAll(async () => {
  expect(llm.cache.numBytes, "every session gave its pages back").toBe(0);
  await llm.dispose();
});

/** Resolves to the error a promise rejects with. */
async function failure(promise: Promise<unknown>): Promise<TurboQuantError> {
  const error = await promise.then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(TurboQuantError);
  return error as TurboQuantError;
}

describe("generate", () => {
  it("streams pieces that add up to the decoded tokens, with usage and timings at the end", async () => {
    const chunks = [];
    for await (const chunk of llm.generate(PROMPT, { maxNewTokens: 12, temperature: 0, ignoreEos: true }))
      chunks.push(chunk);
    const tokens = chunks.flatMap((c) => (c.token === undefined ? [] : [c.token]));
    expect(tokens).toHaveLength(12);
    expect(chunks.map((c) => c.text).join("")).toBe(llm.tokenizer.decode(tokens));
    const last = chunks.at(-1)!;
    expect(last.finishReason).toBe("length");
    expect(last.usage).toEqual({
      promptTokens: llm.tokenizer.encode(PROMPT).length,
      cachedTokens: 0,
      completionTokens: 12,
    });
    expect(last.timings!.ttftMs).toBeGreaterThan(0);
    expect(chunks.slice(0, -1).every((c) => c.finishReason === undefined)).toBe(true);
  });

  it("the same seed gives the same tokens, another seed other ones", async () => {
    const run = (seed: number) =>
      collect(llm.generate(PROMPT, { maxNewTokens: 16, temperature: 1, seed, ignoreEos: true }));
    const [a, b, c] = [await run(1), await run(1), await run(2)];
    expect(b.tokens).toEqual(a.tokens);
    expect(c.tokens).not.toEqual(a.tokens);
  });

  it("ends at an end-of-sequence token", async () => {
    const result = await collect(
      llm.chat([{ role: "user", content: "What is the capital of France?" }], { maxNewTokens: 48, temperature: 0 }),
    );
    expect(result.finishReason).toBe("stop");
    expect(llm.eosTokens.has(result.tokens.at(-1)!)).toBe(true);
    expect(result.text).not.toContain("<|");
  });

  it("withholds a stop string and ends there", async () => {
    const plain = await collect(llm.generate(PROMPT, { maxNewTokens: 24, temperature: 0, ignoreEos: true }));
    const stop = plain.text.slice(8, 12);
    const stopped = await collect(
      llm.generate(PROMPT, { maxNewTokens: 24, temperature: 0, ignoreEos: true, stop: [stop] }),
    );
    expect(stopped.finishReason).toBe("stop");
    expect(stopped.text).toBe(plain.text.slice(0, plain.text.indexOf(stop)));
  });

  it("reports the log-probabilities of the most likely tokens, best first", async () => {
    for await (const chunk of llm.generate(PROMPT, { maxNewTokens: 3, temperature: 0, logprobs: 4 })) {
      if (chunk.token === undefined) continue;
      const top = chunk.topLogprobs!;
      expect(top).toHaveLength(4);
      expect(top[0]!.token).toBe(chunk.token);
      expect(top[0]!.logprob).toBeCloseTo(chunk.logprob!, 6);
      expect([...top].sort((a, b) => b.logprob - a.logprob)).toEqual(top);
    }
  });

  it("an abort ends the stream with what was said, and the engine goes on", async () => {
    const controller = new AbortController();
    let pieces = 0;
    let reason: string | undefined;
    for await (const chunk of llm.generate(PROMPT, { maxNewTokens: 200, ignoreEos: true, signal: controller.signal })) {
      if (++pieces === 3) controller.abort();
      reason = chunk.finishReason;
    }
    expect(reason).toBe("aborted");
    expect(pieces).toBe(4);
    expect((await collect(llm.generate(PROMPT, { maxNewTokens: 2, ignoreEos: true }))).tokens).toHaveLength(2);
  });

  it("an abort during prefill rejects with the signal's reason and frees the pages", async () => {
    const controller = new AbortController();
    const long = new Int32Array(1500).fill(49);
    const run = collect(
      llm.generate(long, { signal: controller.signal, onPrefill: () => controller.abort(new Error("enough")) }),
    );
    await expect(run).rejects.toThrow("enough");
    expect(llm.cache.numBytes).toBe(0);
  });

  it("leaving the loop early frees the pages", async () => {
    for await (const _ of llm.generate(PROMPT, { maxNewTokens: 50, ignoreEos: true })) break;
    expect(llm.cache.numBytes).toBe(0);
  });
});

describe("sessions", () => {
  it("a fork continues like the original and does not disturb it", async () => {
    const session = llm.createSession();
    await collect(session.generate(PROMPT, { maxNewTokens: 5, temperature: 0, ignoreEos: true }));
    const fork = session.fork();
    const more = { maxNewTokens: 10, temperature: 0, ignoreEos: true };
    const a = await collect(session.generate(" and then", more));
    await collect(fork.generate(" but the captain", more));
    fork.release();
    session.release();
    const fresh = llm.createSession();
    await collect(fresh.generate(PROMPT, { maxNewTokens: 5, temperature: 0, ignoreEos: true }));
    const b = await collect(fresh.generate(" and then", more));
    fresh.release();
    expect(a.tokens).toEqual(b.tokens);
  });

  it("save and restore: the same bytes again, and the same tokens from there", async () => {
    const session = llm.createSession();
    await collect(session.generate(PROMPT, { maxNewTokens: 150, temperature: 0.8, seed: 3, ignoreEos: true }));
    const bytes = await session.save();
    const restored = llm.restore(bytes);
    expect(restored.tokens).toEqual(session.tokens);
    expect(await restored.save()).toEqual(bytes);
    const more = { maxNewTokens: 12, temperature: 0, ignoreEos: true };
    const a = await collect(session.generate(" The end", more));
    const b = await collect(restored.generate(" The end", more));
    expect(b.tokens).toEqual(a.tokens);
    session.release();
    restored.release();
  });

  it("refuses a snapshot of another model and of another format", async () => {
    const session = llm.createSession();
    await collect(session.generate(PROMPT, { maxNewTokens: 2, ignoreEos: true }));
    const bytes = await session.save();
    session.release();
    await using other = await LLM.load(checkpointPath("qwen3-3m")!, { kv: "k4v4", threads: 1 });
    await using format = await LLM.load(MODEL, { kv: "k5v4", threads: 1 });
    for (const [engine, word] of [
      [other, /model/],
      [format, /k4v4.*k5v4|k5v4.*k4v4/s],
    ] as const) {
      const error = await failure(Promise.resolve().then(() => engine.restore(bytes)));
      expect(error.code).toBe("invalid_file");
      expect(error.message).toMatch(word);
      expect(engine.cache.numBytes).toBe(0);
    }
    // The same preset with the window that it had before is another format, by name.
    await using before = await llm.withKv("k4v4,window=16bit");
    const earlier = before.createSession();
    await collect(earlier.generate(PROMPT, { maxNewTokens: 2, ignoreEos: true }));
    const file = await earlier.save();
    earlier.release();
    const error = await failure(Promise.resolve().then(() => llm.restore(file)));
    expect(error).toMatchObject({ code: "invalid_file" });
    expect(error.message).toContain("load the model with --kv k4v4,window=16bit");
    before.restore(file).release();
  });

  it("chat keeps the cache of earlier turns", async () => {
    const session = llm.createSession();
    const messages = [{ role: "user", content: "What is the capital of France?" }];
    const first = await collect(session.chat(messages, { maxNewTokens: 20, temperature: 0 }));
    const next = [...messages, { role: "assistant", content: first.text }, { role: "user", content: "And of Spain?" }];
    const second = await collect(session.chat(next, { maxNewTokens: 8, temperature: 0 }));
    expect(second.usage.cachedTokens).toBeGreaterThan(first.usage.promptTokens - 1);
    session.release();
  });
});

describe("many at once", () => {
  it("a batch gives what the prompts give alone", async () => {
    const prompts = [PROMPT, "The old man looked at the sea", "It was a dark night, and"];
    const options = { maxNewTokens: 14, temperature: 0, ignoreEos: true };
    const batch = await generateBatch(llm, prompts, options);
    for (const [i, prompt] of prompts.entries()) {
      expect(batch[i]!.tokens).toEqual((await collect(llm.generate(prompt, options))).tokens);
    }
  });

  it("several continuations of one prompt differ from each other and repeat with the seed", async () => {
    const options = { maxNewTokens: 10, temperature: 1, seed: 5, n: 3, ignoreEos: true };
    const a = await generateBatch(llm, [PROMPT], options);
    const b = await generateBatch(llm, [PROMPT], options);
    expect(b.map((r) => r.tokens)).toEqual(a.map((r) => r.tokens));
    expect(new Set(a.map((r) => r.text)).size).toBe(3);
  });

  it("one beam is greedy search, and more beams find nothing less likely", async () => {
    const greedy = await collect(llm.generate(PROMPT, { maxNewTokens: 8, temperature: 0, ignoreEos: true }));
    const options = { maxNewTokens: 8, lengthPenalty: 0 };
    const [one] = await beamSearch(llm, PROMPT, { ...options, numBeams: 1 });
    const [four] = await beamSearch(llm, PROMPT, { ...options, numBeams: 4 });
    expect(one!.tokens).toEqual(greedy.tokens);
    expect(four!.score).toBeGreaterThanOrEqual(one!.score);
  });
});

describe("bad input", () => {
  it("a prompt longer than the context", async () => {
    await using small = await LLM.load(MODEL, { contextLength: 64, threads: 1 });
    const error = await failure(collect(small.generate(new Int32Array(65).fill(49))));
    expect(error.code).toBe("invalid_argument");
    expect(error.message).toMatch(/65 tokens.*64.*--ctx/);
    expect(small.cache.numBytes).toBe(0);
  });

  it("a context longer than the model's", async () => {
    const error = await failure(LLM.load(MODEL, { contextLength: 1_000_000 }));
    expect(error.message).toMatch(/1 to 4096/);
  });

  it("a byte budget too small", async () => {
    await using tight = await LLM.load(MODEL, { kvBudgetBytes: 100_000, threads: 1 });
    const error = await failure(collect(tight.generate(PROMPT)));
    expect(error.code).toBe("out_of_memory");
    expect(error.message).toMatch(/budget of 100000 bytes/);
    expect(tight.cache.numBytes).toBe(0);
  });

  it("a KV spec with a typo, before anything is loaded", async () => {
    for (const kv of ["k4v9", "k4v4,widow=0", "k4v4,layers=0-99:k8v8"]) {
      const error = await failure(LLM.load(MODEL, { kv }));
      expect(error.code).toBe("invalid_argument");
    }
  });

  it("unknown sampling options and an empty prompt", async () => {
    expect((await failure(collect(llm.generate(PROMPT, { temprature: 1 } as object)))).message).toMatch(/temperature/);
    expect((await failure(collect(llm.generate(new Int32Array(0))))).message).toMatch(/empty/);
  });
});

describe("withKv", () => {
  const options = { maxNewTokens: 12, temperature: 0, ignoreEos: true };

  it("answers as a model loaded with that format does, and leaves the weights to their owner", async () => {
    const view = await llm.withKv("paper-2");
    await using other = await LLM.load(MODEL, { kv: "paper-2", threads: 2 });
    expect((await collect(view.generate(PROMPT, options))).tokens).toEqual(
      (await collect(other.generate(PROMPT, options))).tokens,
    );
    expect(view.cache.numBytes).toBe(0);
    const session = view.createSession();
    await collect(session.generate(PROMPT, options));
    expect(other.restore(await session.save()).tokens).toEqual(session.tokens);
    session.release();
    await view.dispose();
    expect((await collect(llm.generate(PROMPT, options))).tokens).toHaveLength(12);
  });

  it("refuses a format that the model does not have", async () => {
    expect((await failure(llm.withKv("k9v4"))).code).toBe("invalid_argument");
    expect((await failure(llm.withKv("k4v4,layers=9:k8v8"))).code).toBe("invalid_argument");
  });
});

describe("files from elsewhere", () => {
  it("loads from Blobs, as a page picks them, and leaves them open", async () => {
    const files = new Map<string, Blob>();
    for (const file of readdirSync(MODEL)) files.set(file, new Blob([readFileSync(join(MODEL, file))]));
    const source = new BlobSource(files, "picked");
    await using picked = await LLM.load(source, { kv: "k4v4", threads: 1 });
    expect(picked.name).toBe("picked");
    const options = { maxNewTokens: 8, temperature: 0, ignoreEos: true };
    expect((await collect(picked.generate(PROMPT, options))).tokens).toEqual(
      (await collect(llm.generate(PROMPT, options))).tokens,
    );
    expect(await source.has("config.json")).toBe(true);
  });

  it("says which file is missing and what to do", async () => {
    const error = await failure(LLM.load(new BlobSource(new Map(), "picked")));
    expect(error.code).toBe("invalid_file");
    expect(error.message).toMatch(/picked\/config\.json: not found; pick the folder/);
  });
});
