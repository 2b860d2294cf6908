/** @file Two engines and one store: each continues from what the other has computed, with equal tokens, and goes on alone whatever the store does. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { type FakeOptions, loadFake } from "../../../test/support/fake-ops.ts";
import { MemoryStore } from "../../../test/support/memory-store.ts";
import { type Answer, alone, answers, randomPrompt, SEEDED, said } from "../../../test/support/scheduled.ts";
import type { LLM } from "../llm.ts";
import { pageHashes } from "../scheduler/page-hashes.ts";
import type { ScheduleOptions } from "../scheduler/request.ts";
import { Scheduler } from "../scheduler/scheduler.ts";
import type { SchedulerOptions } from "../scheduler/scheduler-options.ts";
import { yieldNow } from "../yield-now.ts";
import type { PageStoreOptions } from "./page-store.ts";
import { PartSizes } from "./part-sizes.ts";
import { SharedPrefixes } from "./shared-prefixes.ts";
import type { StoreObserver } from "./store-observer.ts";

const OPTIONS = { ...SEEDED, maxNewTokens: 6 } as const;
const PROMPT = randomPrompt(300, 1);
const LONG = randomPrompt(330, 8);

let store: MemoryStore;
let engines: { readonly llm: LLM; readonly scheduler: Scheduler }[];
let outcomes: string[];
beforeEach(() => {
  store = new MemoryStore();
  engines = [];
  outcomes = [];
});
afterEach(async () => {
  for (const { llm, scheduler } of engines) {
    await scheduler.close();
    expect(llm.cache.numBytes, "every page was given back").toBe(0);
    await llm.dispose();
  }
});

const observer: StoreObserver = {
  onStoreFetch: (outcome) => void outcomes.push(outcome),
  onStoreWrite: (outcome) => void outcomes.push(outcome),
};
const count = (outcome: string): number => outcomes.filter((own) => own === outcome).length;

/** An engine of its own over the store. */
async function engine(
  options: Partial<PageStoreOptions> = {},
  kv = "k4v4",
  {
    fake = {},
    kvBudgetBytes,
    ...more
  }: Pick<SchedulerOptions, "speculate"> & { fake?: FakeOptions; kvBudgetBytes?: number } = {},
) {
  const { llm } = await loadFake(fake, { kv, ...(kvBudgetBytes !== undefined && { kvBudgetBytes }) });
  const scheduler = new Scheduler(llm, { pageStore: { store, fetch: "always", ...options }, observer, ...more });
  const own = { llm, scheduler };
  engines.push(own);
  return own;
}

async function ask({ scheduler }: { scheduler: Scheduler }, ids: readonly number[], more: ScheduleOptions = {}) {
  const [answer] = await answers(scheduler.generate(ids, { ...OPTIONS, ...more }));
  return answer!;
}

/** Computes a prompt and writes what others may share of it. */
async function computed(ids: readonly number[], options: Partial<PageStoreOptions> = {}): Promise<Answer> {
  const own = await engine(options);
  const answer = await ask(own, ids);
  await own.scheduler.drain();
  return answer;
}

describe("prefixes in a store", () => {
  it("are continued from by another engine, with equal tokens and log-probabilities", async () => {
    const first = await computed(PROMPT);
    const b = await engine();
    const second = await ask(b, PROMPT);
    expect(second.cached).toBe(256);
    expect(said(second)).toEqual(said(first));
    expect(said(second)).toEqual(said(await alone(b.llm, PROMPT, OPTIONS)));
  });

  it.each([
    ["token by token", {}],
    ["with steps ahead", { fake: { samples: true } }],
    ["with drafts", { speculate: "prompt-lookup" as const }],
  ])("are found by prompts that begin alike, and go on with what was answered %s", async (_, more) => {
    // Without a window an end is small, so every page has one.
    const kv = "k4v4,window=0";
    const a = await engine({}, kv, more);
    const { tokens } = await ask(a, PROMPT, { maxNewTokens: 200 });
    await a.scheduler.drain();
    const b = await engine({}, kv);
    const next = [...PROMPT, ...tokens, ...randomPrompt(40, 2)];
    const answer = await ask(b, next);
    expect(answer.cached).toBe(448);
    expect(said(answer)).toEqual(said(await alone(b.llm, next, OPTIONS)));
    const other = [...PROMPT.slice(0, 270), ...randomPrompt(50, 3)];
    expect((await ask(await engine({}, kv), other)).cached).toBe(256);
  });

  it("are found where prompts part", async () => {
    const system = randomPrompt(150, 4);
    const prompts = [5, 6, 7].map((seed) => [...system, ...randomPrompt(500, seed)]);
    const a = await engine();
    await ask(a, prompts[0]!);
    await ask(a, prompts[1]!);
    await a.scheduler.drain();
    expect((await ask(await engine(), prompts[2]!)).cached).toBe(128);
  });

  it("are of their format and their owner alone", async () => {
    await computed(PROMPT);
    for (const [kv, owner] of [
      ["k8v8", undefined],
      ["k4v4,window=64", undefined],
      ["k4v4", "key-a"],
    ] as const) {
      const other = await engine({}, kv);
      expect((await ask(other, PROMPT, owner === undefined ? {} : { owner })).cached).toBe(0);
    }
    expect([count("miss"), count("failed")]).toEqual([4, 0]);
  });

  it("are not shared by a sequence that has grown coarser for want of memory, nor by what goes on from it", async () => {
    const { llm } = await engine({}, "auto", { kvBudgetBytes: 1e9 });
    const shared = new SharedPrefixes(llm, { store, fetch: "always" });
    const ids = randomPrompt(384, 12);
    const sequence = llm.cache.createSequence();
    const read = (from: number, to: number) => llm.runner.prefill(sequence, ids.slice(from, to), { logits: "none" });
    const kept = async (): Promise<number> => {
      shared.keep(sequence, pageHashes(ids.slice(0, sequence.length)).at(-1)!, true);
      await shared.flush();
      return store.values.size;
    };
    await read(0, 256);
    expect(await kept()).toBe(1);
    let pages = 1;
    llm.runner.coarsening.makeRoom([sequence], () => pages-- === 0);
    await read(256, 320);
    expect(await kept()).toBe(1);
    const copy = sequence.fork();
    sequence.release();
    shared.keep(copy, "hash", true);
    expect(shared.queueBytes).toBe(0);
    copy.release();
    shared.close();
  });

  it("are not looked at again when they are stored", async () => {
    const { llm } = await engine();
    const shared = new SharedPrefixes(llm, { store }, observer);
    const sequence = llm.cache.createSequence();
    await llm.runner.prefill(sequence, PROMPT.slice(0, 64), { logits: "none" });
    shared.keep(sequence, "hash", true);
    await shared.flush();
    expect(outcomes).toEqual(["written", "written"]);
    vi.spyOn(sequence.states[0]!, "savedPages").mockImplementation(() => {
      throw new Error("listed");
    });
    shared.keep(sequence, "hash", true);
    expect(outcomes).toHaveLength(2);
    shared.keep(sequence, "other", true);
    expect(outcomes.slice(2)).toEqual(["failed"]);
    vi.restoreAllMocks();
    sequence.release();
    shared.close();
  });

  it("are not taken when any byte of a value is another, or is another key's", async () => {
    const first = await computed(PROMPT);
    const sound = [...store.values];
    const wrong: Record<string, (value: Uint8Array, index: number) => Uint8Array> = {
      flipped: (value) => value.map((byte, i) => (i === value.length >> 1 ? byte ^ 1 : byte)),
      short: (value) => value.subarray(0, value.length - 9),
      long: (value) => Uint8Array.from([...value, 0]),
      foreign: () => new TextEncoder().encode("something else"),
      swapped: (_, index) => sound[(index + 1) % sound.length]![1],
    };
    for (const [name, spoil] of Object.entries(wrong)) {
      for (const [index, [key, value]] of sound.entries()) store.values.set(key, spoil(value, index));
      const b = await engine();
      const answer = await ask(b, PROMPT);
      expect({ name, cached: answer.cached }).toEqual({ name, cached: 0 });
      expect(said(answer)).toEqual(said(first));
      // Who has found it wrong writes it again.
      await b.scheduler.drain();
      expect({ name, cached: (await ask(await engine(), PROMPT)).cached }).toEqual({ name, cached: 256 });
    }
  });

  it("are shorter where a page is missing, and whole again when it was computed", async () => {
    await computed(LONG);
    const expected = said(await alone(engines[0]!.llm, LONG, OPTIONS));
    const keys = [...store.values.keys()];
    await computed([...LONG.slice(0, 200), ...randomPrompt(20, 9)]);
    const values = new Map(store.values);
    // One after the other is lost: what is found is exact or less.
    for (const key of keys) {
      store.values = new Map([...values].filter(([own]) => own !== key));
      const b = await engine();
      const answer = await ask(b, LONG);
      expect(answer.cached! % 64).toBe(0);
      expect(said(answer)).toEqual(expected);
      await b.scheduler.drain();
      expect((await ask(await engine(), LONG)).cached).toBe(320);
    }
  });
});

describe("a store that fails", () => {
  it("is a miss, whatever it throws and wherever", async () => {
    const first = await computed(PROMPT);
    for (const broken of ["has", "get"]) {
      store.onAsk = (what) => {
        if (what === broken) throw new Error("broken");
      };
      const answer = await ask(await engine(), PROMPT);
      expect(answer.cached).toBe(0);
      expect(said(answer)).toEqual(said(first));
    }
    expect(count("failed")).toBeGreaterThanOrEqual(2);
  });

  it("holds a request up for no longer than its limit, once", async () => {
    const first = await computed(PROMPT);
    const notes: string[] = [];
    store.onAsk = () => new Promise<void>(() => {});
    const b = await engine({ timeoutMs: 20, onNote: (note) => notes.push(note), now: () => 0 });
    expect(said(await ask(b, PROMPT))).toEqual(said(first));
    expect(notes).toEqual(["fails (no answer within 20 ms); requests go on without it"]);
    outcomes.length = 0;
    await ask(b, randomPrompt(300, 9));
    expect(outcomes).toContain("skipped");
  });

  it("ends no request by ending: what it was asked for is given up at the end", async () => {
    store.onAsk = () => new Promise<void>(() => {});
    const b = await engine();
    const answer = ask(b, PROMPT);
    await b.scheduler.close();
    expect(await answer).toMatchObject({ finish: "aborted" });
  });

  it("gives pages back that requests need", async () => {
    const alone = await computed(PROMPT);
    store.onAsk = () => new Promise<void>(() => {});
    // Room for one prompt and a half.
    const { llm } = await loadFake({}, { kv: "k4v4" });
    const sequence = llm.cache.createSequence();
    await llm.runner.prefill(sequence, PROMPT, { logits: "none" });
    const kvBudgetBytes = Math.ceil(1.5 * sequence.numBytes);
    sequence.release();
    await llm.dispose();
    // It is asked for nothing, and what it is to be given waits.
    const a = await engine({ fetchBytes: 0, timeoutMs: 1e6 }, "k4v4", { kvBudgetBytes });
    outcomes.length = 0;
    for (const seed of [20, 21, 22]) {
      const ids = randomPrompt(300, seed);
      expect((await ask(a, ids)).finish).toBe("length");
    }
    expect(said(await ask(a, PROMPT))).toEqual(said(alone));
    expect(count("dropped")).toBeGreaterThan(0);
  });

  it("gets time between steps, until it has answered", async () => {
    const { llm } = await engine();
    const shared = new SharedPrefixes(llm, { store, fetch: "always" });
    let answer = (): void => {};
    store.onAsk = () =>
      new Promise<void>((resolve) => {
        answer = resolve;
      });
    const prompt = { hashes: pageHashes(PROMPT), mostPages: 4, localPages: 0, ropeLength: 0 };
    const fetching = shared.fetch(prompt, null, () => {});
    let isOver = false;
    const given = shared.giveTime(1e9).then(() => {
      isOver = true;
    });
    await yieldNow();
    expect(isOver).toBe(false);
    answer();
    await given;
    await fetching;
    await shared.giveTime(1e9);
    shared.close();
  });

  it("is asked for no more values when the time is up, and what it still owes counts as being fetched", async () => {
    const ids = randomPrompt(1100, 11);
    await computed(ids);
    const { llm } = await engine();
    let time = 0;
    const shared = new SharedPrefixes(
      llm,
      {
        ...{ store, fetch: "always", timeoutMs: 20, fetchBytes: 1.5 * new PartSizes(llm.cache).bytesOf(17) },
        now: () => (time += 1e6),
      },
      observer,
    );
    const prompt = { hashes: pageHashes(ids), mostPages: 17, localPages: 0, ropeLength: 0 };
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    store.onAsk = (what) => (what === "get" ? held : undefined);
    outcomes.length = 0;
    const fetch = () => shared.fetch(prompt, null, () => {});
    await fetch();
    const { reads } = store;
    await fetch();
    expect(outcomes).toEqual(["failed", "skipped"]);
    release();
    await yieldNow();
    expect(store.reads).toBe(reads);
    await fetch();
    expect(outcomes.slice(2)).toEqual(["hit"]);
    shared.close();
  });

  it("is given no more than the queue holds", async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    await computed(randomPrompt(300, 10));
    const queueBytes = 3 * [...store.values.values()].reduce((sum, { length }) => sum + length, 0);
    store.values.clear();
    outcomes.length = 0;
    store.onAsk = (what) => (what === "put" ? held : undefined);
    const a = await engine({ queueBytes });
    for (let seed = 10; seed < 16; seed++) await ask(a, randomPrompt(300, seed));
    expect(a.scheduler.stats.storeQueueBytes).toBeLessThanOrEqual(queueBytes);
    expect(a.scheduler.stats.storeQueueBytes).toBeGreaterThan(0);
    expect(count("dropped")).toBeGreaterThan(0);
    release();
    await a.scheduler.drain();
    expect(a.scheduler.stats.storeQueueBytes).toBe(0);
    expect(count("written")).toBe(store.values.size);
  });
});
