/** @file Many requests at once against each of them alone: nothing that a caller sees may differ. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadFake } from "../../../test/support/fake-ops.ts";
import {
  alone,
  answers,
  loadSubject,
  randomPrompt,
  SEEDED,
  SUBJECTS,
  said,
  withScheduler,
} from "../../../test/support/scheduled.ts";
import type { LLM } from "../llm.ts";
import { Scheduler } from "./scheduler.ts";

describe.each(SUBJECTS)("%s", (_name, subject) => {
  let llm: LLM;
  /** What each of the prompts below is answered alone. */
  const aloneBefore: ReturnType<typeof said>[] = [];
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
    for (const [i, ids] of prompts.entries()) aloneBefore[i] ??= said(await alone(llm, ids, options(i)));
    const expected = aloneBefore.slice(0, count);
    await withScheduler(llm, { chunkTokens: 64 }, async (scheduler) => {
      const actual = await Promise.all(
        prompts.map((ids, i) => answers(scheduler.generate(ids, { ...options(i), client: `client ${i % 3}` }))),
      );
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
});

describe("requests", () => {
  let llm: LLM;
  beforeAll(async () => {
    ({ llm } = await loadFake({}, { contextLength: 2048 }));
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

  it("the budget is as many pages as sequences that fill the context have in it", async () => {
    const kvBudgetBytes = 4e6;
    const { llm: small } = await loadFake({}, { contextLength: 512, kvBudgetBytes });
    await withScheduler(small, {}, async ({ stats }) => {
      let pages = 0;
      const sequences = [];
      for (;;) {
        const sequence = small.cache.createSequence();
        sequences.push(sequence);
        // In steps, as a prompt is read, so that only what stays is there.
        for (let at = 0; at < 512; at += 64) {
          sequence.reserve(64);
          sequence.commit(64);
        }
        if (small.cache.pool.numBytes > kvBudgetBytes * 0.95) break;
        pages += 512 / 64;
      }
      for (const sequence of sequences) sequence.release();
      expect(stats.budgetPages / pages).toBeGreaterThan(0.9);
      expect(stats.budgetPages / pages).toBeLessThan(1.15);
    });
    await small.dispose();
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
    const [first, third] = [new AbortController(), new AbortController()];
    let steps = 0;
    const onStep = (): void => {
      if (++steps < 5) return;
      first.abort();
      third.abort();
    };
    await withScheduler(llm, { maxRunning: 2, observer: { onStep } }, async (scheduler) => {
      const running = answers(
        scheduler.generate(randomPrompt(50, 1), { ...SEEDED, maxNewTokens: 500, signal: first.signal }),
      );
      const other = answers(scheduler.generate(randomPrompt(40, 4), { ...SEEDED, maxNewTokens: 30 }));
      const waiting = answers(
        scheduler.generate(randomPrompt(50, 2), { ...SEEDED, maxNewTokens: 500, signal: third.signal }),
      );
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
});
