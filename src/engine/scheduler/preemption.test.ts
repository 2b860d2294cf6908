/** @file Requests that outgrow the memory: they are preempted and resumed, refused, or end with what they said. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type FakeOptions, loadFake } from "../../../test/support/fake-ops.ts";
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
  beforeAll(async () => {
    llm = await loadSubject(subject);
  });
  afterAll(async () => {
    await llm.dispose();
  });

  it("preempted ones say the same, with their pages saved or computed again", async () => {
    const prompts = [20, 35, 8, 70].map((length, i) => randomPrompt(length, 20 + i));
    // Beyond a page, and for the longer ones beyond the residual window.
    const options = (i: number) => ({ ...SEEDED, seed: i, maxNewTokens: subject.fake ? 200 : 110 });
    const expected: ReturnType<typeof said>[] = [];
    for (const [i, ids] of prompts.entries()) expected.push(said(await alone(llm, ids, options(i))));
    // All come in, and at their full length two have room.
    const probe = new Scheduler(llm);
    await answers(probe.generate(prompts[3]!, options(3)));
    const budget = Math.ceil(2 * Math.max(...probe.slots.all.map(({ entry }) => entry?.sequence.numBytes ?? 0)));
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

describe.each<[string, FakeOptions]>([
  ["drawn on the host", {}],
  ["drawn on the device", { samples: true }],
])("a device with less memory than the budget, %s", (_name, fake) => {
  const options = { ...SEEDED, maxNewTokens: 40 };
  const prompts = [1, 2, 3].map((seed) => randomPrompt(30 + seed, seed));

  it("preempts, and the answers are the same", async () => {
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
