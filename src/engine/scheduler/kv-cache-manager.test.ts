/** @file Whose the pages are: what preempting, resuming, retiring and reusing do to them, one call at a time. */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type FakeOps, loadFake } from "../../../test/support/fake-ops.ts";
import { randomPrompt } from "../../../test/support/scheduled.ts";
import type { Sequence } from "../../cache/sequence.ts";
import type { LLM } from "../llm.ts";
import type { SharedPrefixes, TakePrefix } from "../page-store/shared-prefixes.ts";
import { KvCacheManager } from "./kv-cache-manager.ts";
import { makeRequest } from "./make-request.ts";
import type { Choice, ScheduleOptions } from "./request.ts";

const IDS = randomPrompt(200, 1);

let llm: LLM;
let ops: FakeOps;
beforeEach(async () => {
  ({ llm, ops } = await loadFake());
});
afterEach(async () => {
  await llm.dispose();
});

const manager = (savedBudgetBytes = Number.POSITIVE_INFINITY) => new KvCacheManager(llm, savedBudgetBytes);

/** The first choice of a request whose sequence holds the first `fed` tokens of the prompt and `said`. */
async function choiceWith(fed: number, said: readonly number[] = [], options: ScheduleOptions = {}, ids = IDS) {
  const request = makeRequest(llm, ids, options, { order: 0, maxRunning: 4, usesPrefixes: true });
  const choice = request.choices[0]!;
  choice.tokens.push(...said);
  choice.sequence = llm.cache.createSequence();
  await llm.runner.prefill(choice.sequence, choice.tokens.slice(0, fed), { logits: "none" });
  return choice;
}

const next = async (choice: Choice): Promise<Float32Array> =>
  llm.runner.step([{ sequence: choice.sequence!, tokens: [7], logits: "last" }]);

describe("preempt and resume", () => {
  it("a choice that has begun to answer comes back from a snapshot, with the same bits", async () => {
    const [choice, twin] = [await choiceWith(203, [5, 6, 7, 8]), await choiceWith(203, [5, 6, 7, 8])];
    const pages = manager();
    await pages.preempt(choice);
    expect(choice).toMatchObject({ sequence: null, shared: null });
    expect(pages.savedBytes).toBe(choice.saved!.length);
    expect(llm.cache.numBytes).toBe(twin.sequence!.numBytes);
    pages.resume(choice);
    expect(choice.saved).toBeNull();
    expect(pages.savedBytes).toBe(0);
    expect(choice.sequence!.length).toBe(203);
    expect(await next(choice)).toEqual(await next(twin));
  });

  it("one that reads its prompt is read again", async () => {
    const choice = await choiceWith(130);
    const pages = manager();
    await pages.preempt(choice);
    expect([choice.saved, pages.savedBytes, llm.cache.numBytes]).toEqual([null, 0, 0]);
    pages.resume(choice);
    expect(choice.sequence!.length).toBe(0);
  });

  it("snapshots beyond their budget are not kept", async () => {
    const [first, second] = [await choiceWith(203, [5, 6, 7, 8]), await choiceWith(203, [5, 6, 7, 8])];
    const probe = manager();
    await probe.preempt(first);
    const size = first.saved!.length;
    probe.resume(first);
    const pages = manager(2 * size - 1);
    await pages.preempt(first);
    await pages.preempt(second);
    expect([first.saved?.length, second.saved, pages.savedBytes]).toEqual([size, null, size]);
    pages.resume(second);
    expect(second.sequence!.length).toBe(0);
  });

  it("without room the choice stays as it was, and its snapshot with it", async () => {
    const choice = await choiceWith(203, [5, 6, 7, 8]);
    const pages = manager();
    await pages.preempt(choice);
    const { saved } = choice;
    ops.pages.limitBytes = 1000;
    expect(() => pages.resume(choice)).toThrow("no room");
    expect([choice.saved, choice.sequence, pages.savedBytes]).toEqual([saved, null, saved!.length]);
    expect(llm.cache.numBytes).toBe(0);
    ops.pages.limitBytes = Number.POSITIVE_INFINITY;
    pages.resume(choice);
    expect(choice.sequence!.length).toBe(203);
  });
});

describe("retire", () => {
  it("keeps what may serve a later request, and finds it again", async () => {
    const pages = manager();
    const choice = await choiceWith(203, [5, 6, 7, 8]);
    const entry = pages.retire(choice);
    expect(entry).toMatchObject({ length: 203, isLive: true });
    expect(choice.sequence).toBeNull();
    const follower = await choiceWith(0, [], {}, [...choice.tokens, ...randomPrompt(20, 2)]);
    expect(pages.findPrefix(follower.request)).toBe(entry);
    const private_ = await choiceWith(0, [], { cachePrompt: false }, [...choice.tokens, ...randomPrompt(20, 2)]);
    expect(pages.findPrefix(private_.request)).toBeNull();
  });

  it("gives back what may not be kept, what is empty, and snapshots", async () => {
    const pages = manager();
    expect(pages.retire(await choiceWith(203, [5, 6, 7, 8], { cachePrompt: false }))).toBeNull();
    expect(pages.retire(await choiceWith(0))).toBeNull();
    const preempted = await choiceWith(203, [5, 6, 7, 8]);
    await pages.preempt(preempted);
    expect(pages.retire(preempted)).toBeNull();
    expect([preempted.saved, pages.savedBytes, pages.prefixes.size]).toEqual([null, 0, 0]);
    expect(llm.cache.numBytes).toBe(0);
  });
});

describe("prefixes", () => {
  it("a choice that reads its prompt goes on from a longer one, never from a shorter one or past its prompt", async () => {
    const pages = manager();
    const kept = await choiceWith(192);
    pages.keepPageEnd(kept.request, kept.sequence!);
    const reader = await choiceWith(64, [], {}, [...IDS.slice(0, 195), ...randomPrompt(40, 3)]);
    pages.usePrefix(reader);
    expect(reader.sequence!.length).toBe(192);
    expect(reader.shared).toMatchObject({ tokens: 192 });
    expect(reader.request.cachedTokens).toBe(128);
    const { sequence } = reader;
    pages.usePrefix(reader);
    expect([reader.sequence === sequence, reader.request.cachedTokens]).toEqual([true, 128]);
    const answering = await choiceWith(203, [5, 6, 7, 8]);
    pages.usePrefix(answering);
    expect([answering.sequence!.length, answering.shared]).toEqual([203, null]);
    expect(await next(reader)).toEqual(await next(await choiceWith(192)));
  });

  it("page ends are kept of requests that may use the cache only", async () => {
    const pages = manager();
    const choice = await choiceWith(128, [], { cachePrompt: false });
    pages.keepPageEnd(choice.request, choice.sequence!);
    expect(pages.prefixes.size).toBe(0);
  });

  it("are evicted as long as room is missing, and no longer", async () => {
    const budget = 200_000;
    ({ llm } = await loadFake({}, { kvBudgetBytes: budget }));
    const pages = manager();
    for (const seed of [1, 2, 3]) pages.retire(await choiceWith(200, [], {}, randomPrompt(200, seed)));
    const { pool } = llm.cache;
    const before = pool.numBytes;
    expect(pages.makeRoom(budget - before)).toBe(true);
    expect(pages.prefixes.size).toBe(3);
    expect(pages.makeRoom(budget - before + 1)).toBe(true);
    expect(pages.prefixes.size).toBe(2);
    const running = await choiceWith(64, [], {}, randomPrompt(200, 9));
    expect(pages.makeRoom(budget)).toBe(false);
    expect([pages.prefixes.size, pool.numBytes]).toEqual([0, running.sequence!.numBytes]);
  });
});

describe("a prefix that was fetched", () => {
  it("evicts no others where it does not fit beside what is running, or nobody waits for it", async () => {
    const budget = 200_000;
    ({ llm } = await loadFake({}, { kvBudgetBytes: budget }));
    let take: TakePrefix = () => {};
    const store = {
      async fetch(_: unknown, __: unknown, own: TakePrefix) {
        take = own;
      },
      drop: () => false,
      keep() {},
    };
    const pages = new KvCacheManager(llm, budget, undefined, store as unknown as SharedPrefixes);
    for (const seed of [1, 2, 3]) pages.retire(await choiceWith(200, [], {}, randomPrompt(200, seed)));
    const running = await choiceWith(200, [], {}, randomPrompt(200, 4));
    const twin = { ...running, sequence: running.sequence!.fork() };
    const { request } = await choiceWith(0, [], {}, randomPrompt(200, 5));
    await pages.fetchPrefix(request, null, [running, twin]);
    const restored = (): Sequence => {
      throw new Error("restored");
    };
    const left = budget - running.sequence!.numBytes;
    expect(() => take(left + 1, 1, restored)).toThrow("do not fit beside");
    expect(pages.prefixes.size).toBe(3);
    expect(() => take(left, 1, restored)).toThrow("restored");
    expect(pages.prefixes.size).toBe(0);
    request.isCancelled = true;
    expect(() => take(0, 1, restored)).toThrow("nobody waits");
  });
});

describe("a device that holds less than the budget", () => {
  it("is remembered until the scheduler is idle", async () => {
    const pages = manager();
    expect(pages.limitBytes).toBe(Number.POSITIVE_INFINITY);
    await choiceWith(100);
    pages.onDeviceFull(5000);
    expect(pages.limitBytes).toBe(llm.cache.numBytes + 4999);
    expect([pages.makeRoom(4999), pages.makeRoom(5000)]).toEqual([true, false]);
    // A later failure at a larger size does not raise what is known.
    pages.onDeviceFull(9000);
    expect(pages.limitBytes).toBe(llm.cache.numBytes + 4999);
    pages.forgetDeviceLimit();
    expect(pages.limitBytes).toBe(Number.POSITIVE_INFINITY);
  });
});
