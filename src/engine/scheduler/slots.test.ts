/** @file Slots: who gets which, what they keep, and conversations saved from one scheduler and restored into another. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadFake } from "../../../test/support/fake-ops.ts";
import { alone, answers, randomPrompt, SEEDED, said, withScheduler } from "../../../test/support/scheduled.ts";
import type { LLM } from "../llm.ts";
import { KvCacheManager } from "./kv-cache-manager.ts";
import { makeRequest } from "./make-request.ts";
import type { Choice } from "./request.ts";
import { SlotTable } from "./slots.ts";

describe("a slot table", () => {
  let llm: LLM;
  let pages: KvCacheManager;
  let slots: SlotTable;
  beforeEach(async () => {
    ({ llm } = await loadFake());
    pages = new KvCacheManager(llm, Number.POSITIVE_INFINITY);
    slots = new SlotTable(3, llm, pages);
  });
  afterEach(async () => {
    await llm.dispose();
  });

  const choiceOf = (ids: readonly number[], slot?: number): Choice => {
    const options = slot === undefined ? {} : { slot };
    return makeRequest(llm, ids, options, { order: 0, maxRunning: 3, usesPrefixes: true }).choices[0]!;
  };
  const assign = (ids: readonly number[], slot?: number): Choice => {
    const choice = choiceOf(ids, slot);
    slots.assign(choice);
    return choice;
  };
  /** Runs a prompt in a slot to its end, so that its conversation stays there. */
  const talk = async (ids: readonly number[], slot: number): Promise<void> => {
    const choice = assign(ids, slot);
    choice.sequence = llm.cache.createSequence();
    await llm.runner.prefill(choice.sequence, ids, { logits: "none" });
    slots.release(choice, pages.retire(choice));
  };

  it("gives the slot that is asked for if it is free, else another, and none when all are taken", () => {
    const taken = [assign([5], 2), assign([5], 2), assign([5], 99)];
    expect(taken.map(({ slot }) => slot)).toEqual([2, 0, 1]);
    expect(assign([5]).slot).toBe(-1);
    slots.release(taken[1]!, null);
    expect(assign([5]).slot).toBe(0);
  });

  it("puts the next turn of a conversation where it was, and others where they forget nothing", async () => {
    const base = randomPrompt(100, 1);
    await talk(base, 1);
    expect(assign([...base, ...randomPrompt(20, 2)]).slot).toBe(1);
    await talk(randomPrompt(100, 3), 0);
    // Half of a conversation is enough to be it; less is another one, which takes the slot without any.
    expect(assign([...randomPrompt(100, 3).slice(0, 49), ...randomPrompt(60, 4)]).slot).toBe(2);
    expect(assign([...randomPrompt(100, 3).slice(0, 50), ...randomPrompt(60, 4)]).slot).toBe(0);
  });

  it("keeps a conversation until another one that is kept takes its place", async () => {
    await talk(randomPrompt(100, 1), 0);
    const { entry } = slots.all[0]!;
    expect(entry?.length).toBe(100);
    const passing = assign(randomPrompt(50, 2), 0);
    slots.release(choiceOf([5]), null);
    expect(slots.all[0]!.choice).toBe(passing);
    slots.release(passing, null);
    expect(slots.all[0]).toMatchObject({ choice: null, entry });
    const saved = slots.save(0)!;
    // Evicted, it is no conversation any more; what is saved was begun before.
    pages.prefixes.clear();
    expect(slots.save(0)).toBeNull();
    let bytes = 0;
    for await (const part of saved.parts) bytes += part.length;
    expect(bytes).toBeGreaterThan(100);
    await saved.release();
    expect(slots.erase(0)).toBe(0);
  });

  it("a slot at work is neither restored nor erased, and one that is not there is named", async () => {
    assign([5], 1);
    for (const use of [() => slots.erase(1), () => slots.restore(1, new Uint8Array(10))]) {
      expect(use).toThrow("slot 1: it is at work; wait until its request has ended");
    }
    expect(() => slots.save(3)).toThrow("slot: expected 0 to 2, got 3; GET /slots lists them");
    expect(() => slots.restore(0, new Uint8Array(10))).toThrow("snapshot");
    expect(slots.all[0]!.entry).toBeNull();
  });
});

describe("a conversation", () => {
  it("that is saved is restored by another scheduler and goes on there, to the same tokens", async () => {
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
