/** @file Many requests at once against each of them alone: nothing that a caller sees may differ. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../../node/install.ts";
import { type FakeOps, type FakeOptions, loadFake } from "../../../test/support/fake-ops.ts";
import { TurboQuantError } from "../../errors.ts";
import { LLM } from "../llm.ts";
import type { ScheduledChunk, ScheduleOptions } from "./request.ts";
import { Scheduler, type SchedulerOptions } from "./scheduler.ts";

const MODEL = "qwen3-1m";
const SEEDED = { temperature: 0.9, topK: 40, seed: 11, ignoreEos: true } as const;

/** Tokens, log-probabilities and text of each continuation: equal only if every bit of every logit was. */
interface Answer {
  tokens: number[];
  logprobs: number[];
  text: string;
  finish: string | undefined;
  cached: number | undefined;
}

async function answers(stream: AsyncIterable<ScheduledChunk>): Promise<Answer[]> {
  const all: Answer[] = [];
  for await (const { index, token, logprob, text, finishReason, usage } of stream) {
    const own = (all[index] ??= { tokens: [], logprobs: [], text: "", finish: undefined, cached: undefined });
    if (token !== undefined) own.tokens.push(token);
    if (logprob !== undefined) own.logprobs.push(logprob);
    own.text += text;
    own.finish ??= finishReason;
    own.cached ??= usage?.cachedTokens;
  }
  return all;
}

const said = ({ tokens, logprobs, text, finish }: Answer) => ({ tokens, logprobs, text, finish });

/** The model's own vocabulary at random, so that no prompt resembles another by chance. */
function randomPrompt(length: number, seed: number): number[] {
  let state = seed * 2654435761 + 1;
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return 10 + (state % 4000);
  });
}

async function alone(llm: LLM, ids: readonly number[], options: ScheduleOptions): Promise<Answer> {
  const [answer] = await answers(
    (async function* () {
      const { client: _, cachePrompt: __, n: ___, ...rest } = options;
      for await (const chunk of llm.generate(ids, rest)) yield { ...chunk, index: 0 };
    })(),
  );
  return answer!;
}

async function withScheduler<T>(
  llm: LLM,
  options: SchedulerOptions,
  use: (scheduler: Scheduler) => Promise<T>,
): Promise<T> {
  const scheduler = new Scheduler(llm, options);
  try {
    return await use(scheduler);
  } finally {
    await scheduler.close();
    expect(llm.cache.numBytes, "every page was given back").toBe(0);
  }
}

interface Subject {
  readonly kv: string;
  /** The fake backend, as which it is treated; else a real model on wasm. */
  readonly fake?: FakeOptions;
}

const loadSubject = async ({ kv, fake }: Subject, kvBudgetBytes?: number): Promise<LLM> => {
  const load = { kv, ...(kvBudgetBytes !== undefined && { kvBudgetBytes }) };
  return fake ? (await loadFake(fake, load)).llm : LLM.load(MODEL, { ...load, threads: 2, backend: "wasm" });
};

describe.each<[string, Subject]>([
  ["k4v4", { kv: "k4v4" }],
  ["k3v3,sinks=0,window=0", { kv: "k3v3,sinks=0,window=0" }],
  ["f16", { kv: "f16" }],
  ["fake k4v4", { kv: "k4v4", fake: {} }],
  ["fake f16", { kv: "f16", fake: { isRowInvariant: false } }],
  ["fake k4v4, drawn on the device", { kv: "k4v4", fake: { samples: true } }],
])("%s", (_name, subject) => {
  let llm: LLM;
  beforeAll(async () => {
    llm = await loadSubject(subject);
  });
  afterAll(async () => {
    await llm.dispose();
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])("%i at once say what each says alone", async (count) => {
    // Lengths around the sizes at which kernels and pages change.
    const lengths = [7, 64, 66, 129, 1, 200, 3, 322].slice(0, count);
    const prompts = lengths.map((length, i) => randomPrompt(length, i + 1));
    const options = (i: number) => ({ ...SEEDED, seed: i, maxNewTokens: 6 + 3 * i });
    const expected: ReturnType<typeof said>[] = [];
    for (const [i, ids] of prompts.entries()) expected.push(said(await alone(llm, ids, options(i))));
    await withScheduler(llm, { chunkTokens: 64 }, async (scheduler) => {
      const actual = await Promise.all(prompts.map((ids, i) => answers(scheduler.generate(ids, options(i)))));
      expect(actual.map(([one]) => said(one!))).toEqual(expected);
    });
  });

  it("prefixes that are kept change nothing: the same prompt, its next turn, one that parts from it", async () => {
    const base = randomPrompt(300, 5);
    await withScheduler(llm, {}, async (scheduler) => {
      const ask = async (ids: readonly number[]) => {
        const expected = await alone(llm, ids, { ...SEEDED, maxNewTokens: 20 });
        const [actual] = await answers(scheduler.generate(ids, { ...SEEDED, maxNewTokens: 20 }));
        expect(said(actual!)).toEqual(said(expected));
        return actual!;
      };
      const first = await ask(base);
      expect(first.cached).toBe(0);
      expect((await ask(base)).cached).toBe(256);
      // What was generated is continued where that is the same bits; else the prompt alone is.
      const next = await ask([...base, ...first.tokens, ...randomPrompt(30, 6)]);
      expect(next.cached).toBe(subject.kv === "f16" ? 256 : 319);
      expect((await ask([...base.slice(0, 200), ...randomPrompt(90, 7)])).cached).toBe(192);
      expect((await ask([...base.slice(0, 65), ...randomPrompt(3, 8)])).cached).toBe(0);
      expect((await ask(randomPrompt(300, 9))).cached).toBe(0);
    });
  });

  it("preempted ones say the same, with their pages saved or computed again", async () => {
    const prompts = [20, 35, 8, 70, 31].map((length, i) => randomPrompt(length, 20 + i));
    const options = (i: number) => ({ ...SEEDED, seed: i, maxNewTokens: 200 });
    const expected: ReturnType<typeof said>[] = [];
    for (const [i, ids] of prompts.entries()) expected.push(said(await alone(llm, ids, options(i))));
    // All come in, and at their full length two have room.
    const probe = new Scheduler(llm);
    await answers(probe.generate(prompts[3]!, options(3)));
    const budget = Math.ceil(2.2 * Math.max(...probe.slots.all.map(({ entry }) => entry?.sequence.numBytes ?? 0)));
    await probe.close();
    for (const savedBudgetBytes of [Number.POSITIVE_INFINITY, 0]) {
      const tight = await loadSubject(subject, budget);
      let preemptions = 0;
      let most = 0;
      const observer = {
        onPreemption: () => preemptions++,
        onStep: () => {
          most = Math.max(most, tight.cache.numBytes);
        },
      };
      await withScheduler(tight, { savedBudgetBytes, observer, chunkTokens: 64 }, async (scheduler) => {
        const actual = await Promise.all(prompts.map((ids, i) => answers(scheduler.generate(ids, options(i)))));
        expect(actual.map(([one]) => said(one!))).toEqual(expected);
        expect(scheduler.stats.savedBytes).toBe(0);
      });
      expect(preemptions).toBeGreaterThan(0);
      expect(most).toBeLessThanOrEqual(budget);
      await tight.dispose();
    }
  });
});

describe("requests", () => {
  let llm: LLM;
  let ops: FakeOps;
  beforeAll(async () => {
    ({ llm, ops } = await loadFake({}, { contextLength: 2048 }));
  });
  afterAll(async () => {
    await llm.dispose();
  });

  it("n continuations are those of n seeds, and share the prompt's pages", async () => {
    const ids = randomPrompt(150, 3);
    const expected: ReturnType<typeof said>[] = [];
    for (let i = 0; i < 4; i++)
      expected.push(said(await alone(llm, ids, { ...SEEDED, seed: 5 + i, maxNewTokens: 12 })));
    await withScheduler(llm, {}, async (scheduler) => {
      let read = 0;
      const counting = new Scheduler(llm, {
        prefixCache: false,
        observer: { onStep: (rows) => void (read += rows) },
      });
      const actual = await answers(counting.generate(ids, { ...SEEDED, seed: 5, n: 4, maxNewTokens: 12 }));
      expect(actual.map(said)).toEqual(expected);
      expect(read).toBe(150 + 4 * 11);
      await counting.close();
      const cached = await answers(scheduler.generate(ids, { ...SEEDED, seed: 5, n: 4, maxNewTokens: 12 }));
      expect(cached.map(said)).toEqual(expected);
    });
  });

  it("a long prompt does not hold up those who decode", async () => {
    await withScheduler(llm, { chunkTokens: 128 }, async (scheduler) => {
      let steps = 0;
      let withBoth = 0;
      const counting = new Scheduler(llm, {
        chunkTokens: 128,
        prefixCache: false,
        observer: {
          onStep: (rows, decodeRows) => {
            steps++;
            if (decodeRows > 0 && rows > decodeRows) withBoth++;
          },
        },
      });
      const talk = counting.generate(randomPrompt(10, 1), { ...SEEDED, maxNewTokens: 100 });
      await talk.next();
      const long = counting.generate(randomPrompt(1500, 2), { ...SEEDED, maxNewTokens: 2 });
      const before = steps;
      await long.next();
      // 1,500 tokens in pieces of two pages are 12 steps, and in all but the last one the other decodes too.
      expect(steps - before).toBeGreaterThanOrEqual(12);
      expect(withBoth).toBeGreaterThanOrEqual(11);
      await talk.return();
      await long.return();
      await counting.close();
      expect(scheduler.stats.running).toBe(0);
    });
  });

  it("clients take turns when only one may run", async () => {
    const order: string[] = [];
    await withScheduler(llm, { maxRunning: 1 }, async (scheduler) => {
      const ask = async (name: string, client: string) => {
        await answers(scheduler.generate(randomPrompt(5, 1), { maxNewTokens: 2, client, ignoreEos: true }));
        order.push(name);
      };
      await Promise.all([ask("a1", "a"), ask("a2", "a"), ask("a3", "a"), ask("b1", "b")]);
    });
    expect(order).toEqual(["a1", "b1", "a2", "a3"]);
  });

  it("an aborted one ends, waiting or running, and the others go on", async () => {
    const expected = said(await alone(llm, randomPrompt(40, 4), { ...SEEDED, maxNewTokens: 30 }));
    await withScheduler(llm, { maxRunning: 2 }, async (scheduler) => {
      const [first, third] = [new AbortController(), new AbortController()];
      const running = answers(
        scheduler.generate(randomPrompt(50, 1), { ...SEEDED, maxNewTokens: 500, signal: first.signal }),
      );
      const other = answers(scheduler.generate(randomPrompt(40, 4), { ...SEEDED, maxNewTokens: 30 }));
      const waiting = answers(
        scheduler.generate(randomPrompt(50, 2), { ...SEEDED, maxNewTokens: 500, signal: third.signal }),
      );
      setTimeout(() => {
        first.abort();
        third.abort();
      }, 20);
      expect((await running)[0]!.finish).toBe("aborted");
      expect((await waiting)[0]!.finish).toBe("aborted");
      expect(said((await other)[0]!)).toEqual(expected);
      const left = scheduler.generate(randomPrompt(50, 3), { ...SEEDED, maxNewTokens: 500, n: 2 });
      await left.next();
      await left.return();
      await scheduler.drain();
      expect(scheduler.stats).toMatchObject({ running: 0, waiting: 0, preempted: 0 });
    });
  });

  it("reports how likely the prompt was, as the model's own logits say, in one piece or in many", async () => {
    const ids = randomPrompt(150, 8);
    const sequence = llm.cache.createSequence();
    const logits = await llm.runner.step([{ sequence, tokens: ids, logits: "all" }]);
    sequence.release();
    const { vocabSize } = llm.config;
    const expected = ids.slice(1).map((token, i) => {
      const row = logits.subarray(i * vocabSize, (i + 1) * vocabSize);
      const max = row.reduce((a, b) => Math.max(a, b));
      return row[token]! - max - Math.log(row.reduce((sum, x) => sum + Math.exp(x - max), 0));
    });
    for (const chunkTokens of [64, 256]) {
      await withScheduler(llm, { chunkTokens }, async (scheduler) => {
        // A kept prefix has no logits: it is not used.
        await answers(scheduler.generate(ids, { ...SEEDED, maxNewTokens: 1 }));
        const chunks = [];
        for await (const chunk of scheduler.generate(ids, { promptLogprobs: 2, scoreOnly: true })) chunks.push(chunk);
        const [first, last] = chunks;
        expect(chunks).toHaveLength(2);
        expect(last).toMatchObject({
          finishReason: "length",
          text: "",
          usage: { completionTokens: 0, cachedTokens: 0 },
        });
        const entries = first!.promptLogprobs!;
        expect(entries[0]).toBeNull();
        expect(entries).toHaveLength(ids.length);
        entries.slice(1).forEach((entry, i) => {
          expect(entry!.token).toBe(ids[i + 1]);
          expect(entry!.logprob).toBeCloseTo(expected[i]!, 9);
          expect(entry!.top).toHaveLength(2);
          expect(entry!.top[0]!.logprob).toBeGreaterThanOrEqual(entry!.logprob);
        });
      });
    }
  });

  it("refuses what cannot work at once, and says why", async () => {
    await withScheduler(llm, { maxRunning: 2, maxWaiting: 1 }, async (scheduler) => {
      const refusal = (ids: ArrayLike<number>, options: ScheduleOptions = {}): string => {
        try {
          scheduler.generate(ids, options);
        } catch (error) {
          expect(error).toBeInstanceOf(TurboQuantError);
          return (error as TurboQuantError).message;
        }
        throw new Error("was accepted");
      };
      expect(refusal([])).toContain("it is empty");
      expect(refusal([5, 9999])).toContain("expected tokens from 0 to 4095, got 9999");
      expect(refusal([5, -1])).toContain("got -1");
      expect(refusal(randomPrompt(2049, 1))).toContain("2049 tokens do not fit the context of 2048");
      expect(refusal([5], { n: 3 })).toContain("n: expected a whole number from 1 to 2");
      expect(refusal([5], { temperature: -1 })).toContain("temperature");
      const start = (seed: number) => scheduler.generate(randomPrompt(20, seed), { ...SEEDED, maxNewTokens: 50 });
      const streams: AsyncIterable<ScheduledChunk>[] = [];
      for (const seed of [1, 2]) {
        const stream = start(seed);
        await stream.next();
        streams.push(stream);
      }
      streams.push(start(3));
      // Two run, one waits: the queue is full.
      expect(refusal([5])).toContain("requests are waiting; try again later");
      const rest = streams.map(answers);
      const draining = scheduler.drain();
      expect(refusal([5])).toContain("shutting down");
      await draining;
      for (const [one] of await Promise.all(rest)) expect(one!.finish).toBe("length");
    });
  });

  it("a lost device fails those in the step and no others", async () => {
    await withScheduler(llm, {}, async (scheduler) => {
      ops.loseDeviceAt = ops.steps + 3;
      const failed = [1, 2].map((seed) =>
        answers(scheduler.generate(randomPrompt(20, seed), { ...SEEDED, maxNewTokens: 20 })),
      );
      for (const each of failed) await expect(each).rejects.toMatchObject({ code: "device_lost" });
      ops.loseDeviceAt = Number.POSITIVE_INFINITY;
      const [next] = await answers(scheduler.generate(randomPrompt(20, 1), { ...SEEDED, maxNewTokens: 20 }));
      expect(next!.tokens).toHaveLength(20);
    });
  });
});

describe.each<[string, FakeOptions]>([
  ["drawn on the host", {}],
  ["drawn on the device", { samples: true }],
])("faults, %s", (_name, fake) => {
  const options = { ...SEEDED, maxNewTokens: 40 };
  const prompts = [1, 2, 3].map((seed) => randomPrompt(30 + seed, seed));

  it("logits that are not finite fail the request that has them, in the middle of the others", async () => {
    const { llm, ops } = await loadFake(fake);
    const expected: ReturnType<typeof said>[] = [];
    for (const ids of prompts) expected.push(said(await alone(llm, ids, options)));
    // Prompts differ in length, so at a position that only the longest reaches in its seventh token.
    let spoilt = 0;
    ops.spoils = (_sequence, position) => position === 33 + 38 && ++spoilt > 0;
    await withScheduler(llm, {}, async (scheduler) => {
      const outcomes = await Promise.allSettled(prompts.map((ids) => answers(scheduler.generate(ids, options))));
      expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
      expect(outcomes[2]).toMatchObject({ reason: { code: "invalid_file" } });
      for (const [i, outcome] of outcomes.entries()) {
        if (outcome.status === "fulfilled") expect(said(outcome.value[0]!)).toEqual(expected[i]);
      }
    });
    expect(spoilt).toBeGreaterThan(0);
    await llm.dispose();
  });

  it("a device that has less memory than the budget preempts, and the answers are the same", async () => {
    const { llm, ops } = await loadFake(fake);
    const expected: ReturnType<typeof said>[] = [];
    let most = 0;
    for (const ids of prompts) {
      const session = llm.createSession();
      for await (const _ of session.generate(ids, { ...options, maxNewTokens: 100 }))
        most = Math.max(most, session.kvBytes);
      session.release();
      expected.push(said(await alone(llm, ids, { ...options, maxNewTokens: 100 })));
    }
    ops.pages.limitBytes = Math.ceil(1.6 * most);
    let preemptions = 0;
    await withScheduler(llm, { observer: { onPreemption: () => preemptions++ } }, async (scheduler) => {
      const actual = await Promise.all(
        prompts.map((ids) => answers(scheduler.generate(ids, { ...options, maxNewTokens: 100 }))),
      );
      expect(actual.map(([one]) => said(one!))).toEqual(expected);
    });
    expect(preemptions).toBeGreaterThan(0);
    // With no room for a single one, it is told so.
    ops.pages.limitBytes = 1;
    await withScheduler(llm, {}, async (scheduler) => {
      await expect(answers(scheduler.generate(prompts[0]!, options))).rejects.toMatchObject({ code: "out_of_memory" });
    });
    await llm.dispose();
  });
});

describe("a budget that is small for one", () => {
  it("refuses prompts that never fit, and ends those that grow out of it with what they said", async () => {
    const { llm } = await loadFake({}, { kvBudgetBytes: 120_000 });
    await withScheduler(llm, {}, async (scheduler) => {
      expect(() => scheduler.generate(randomPrompt(3000, 1))).toThrow("the budget is 120000; shorten the prompt");
      const ids = randomPrompt(100, 2);
      const [answer] = await answers(scheduler.generate(ids, { ...SEEDED, maxNewTokens: 3000 }));
      expect(answer!.finish).toBe("length");
      const expected = await alone(llm, ids, { ...SEEDED, maxNewTokens: answer!.tokens.length }).catch(() => null);
      expect(answer!.tokens.length).toBeGreaterThan(100);
      if (expected) expect(answer!.tokens).toEqual(expected.tokens);
      // And the next one finds room.
      const [next] = await answers(scheduler.generate(randomPrompt(200, 3), { ...SEEDED, maxNewTokens: 5 }));
      expect(next!.tokens).toHaveLength(5);
    });
    await llm.dispose();
  });
});

describe("slots", () => {
  it("save a conversation that another scheduler restores and goes on with, to the same tokens", async () => {
    const { llm } = await loadFake();
    const ids = randomPrompt(200, 1);
    const options = { ...SEEDED, maxNewTokens: 20 };
    let file = new Uint8Array(0);
    let next: number[] = [];
    await withScheduler(llm, { maxRunning: 4 }, async (scheduler) => {
      const [first] = await answers(scheduler.generate(ids, { ...options, slot: 2 }));
      const saved = scheduler.slots.save(2)!;
      expect(saved.tokens).toBe(219);
      const parts: Uint8Array[] = [];
      for await (const part of saved.parts) parts.push(part);
      file = new Uint8Array(parts.flatMap((part) => [...part]));
      next = [...ids, ...first!.tokens, ...randomPrompt(10, 2)];
      expect(scheduler.slots.save(0)).toBeNull();
    });
    const expected = await alone(llm, next, options);
    await withScheduler(llm, { maxRunning: 4 }, async (scheduler) => {
      expect(scheduler.slots.restore(1, file)).toBe(219);
      const [second] = await answers(scheduler.generate(next, options));
      expect(second!.cached).toBe(219);
      expect(said(second!)).toEqual(said(expected));
      expect(scheduler.slots.all[1]!.entry?.length).toBe(249);
      expect(scheduler.slots.erase(1)).toBe(249);
      expect(scheduler.slots.erase(1)).toBe(0);
      const damaged = file.slice();
      damaged[1000]! ^= 1;
      expect(() => scheduler.slots.restore(1, damaged)).toThrow("damaged");
      expect(() => scheduler.slots.restore(9, file)).toThrow("slot: expected 0 to 3, got 9");
    });
    await llm.dispose();
  });
});
