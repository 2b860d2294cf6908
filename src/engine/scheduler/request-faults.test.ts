/** @file What cannot work is refused with its reason, and a fault on the way ends those whom it concerns and nobody else. */
import { describe, expect, it } from "vitest";
import { FAKE_VOCAB } from "../../../test/support/fake-checkpoint.ts";
import { type FakeOptions, loadFake } from "../../../test/support/fake-ops.ts";
import { alone, answers, randomPrompt, SEEDED, said, withScheduler } from "../../../test/support/scheduled.ts";
import { TurboQuantError } from "../../errors.ts";
import type { ScheduledChunk, ScheduleOptions } from "./request.ts";

it("refuses what cannot work at once, and says why", async () => {
  const { llm } = await loadFake({}, { contextLength: 2048 });
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
    expect(refusal([5, 9999])).toContain(`expected tokens from 0 to ${FAKE_VOCAB - 1}, got 9999`);
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

  it("a lost device fails those in the step and no others", async () => {
    const { llm, ops } = await loadFake(fake);
    await withScheduler(llm, {}, async (scheduler) => {
      ops.loseDeviceAt = ops.steps + 3;
      const failed = prompts.map((ids) => answers(scheduler.generate(ids, options)));
      for (const each of failed) await expect(each).rejects.toMatchObject({ code: "device_lost" });
      ops.loseDeviceAt = Number.POSITIVE_INFINITY;
      const [next] = await answers(scheduler.generate(prompts[0]!, options));
      expect(next!.tokens).toHaveLength(40);
    });
    await llm.dispose();
  });
});
