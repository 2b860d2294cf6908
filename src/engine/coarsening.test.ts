/** @file Formats that yield to memory: pages grow coarser before a sequence is refused or preempted. */
import { beforeAll, expect, it } from "vitest";
import { loadFake } from "../../test/support/fake-ops.ts";
import { alone, answers, randomPrompt, SEEDED, said, withScheduler } from "../../test/support/scheduled.ts";
import type { Session } from "./session.ts";

const PROMPTS = [300, 420, 260].map((length, i) => randomPrompt(length, 40 + i));
const options = (i: number) => ({ ...SEEDED, seed: i, maxNewTokens: 150 });

const load = (kvBudgetBytes: number, kv = "auto") => loadFake({}, { kv, kvBudgetBytes });

/** Pages that each layer has in 4, 3 and 2 bits, or in fewer. */
const coarser = ({ sequence }: Session): number[][] =>
  sequence.cache.layers.map((_, layer) =>
    sequence.tiers(layer).map((_, tier) => sequence.kv(layer).tierPages(tier, 0)),
  );

/** What the prompts say alone and with memory for all, and the bytes that each takes then. */
const expected: ReturnType<typeof said>[] = [];
const bytes: number[] = [];
beforeAll(async () => {
  const { llm } = await load(1e9);
  for (const [i, ids] of PROMPTS.entries()) {
    expected.push(said(await alone(llm, ids, options(i))));
    const session = llm.createSession();
    for await (const _ of session.generate(ids, options(i)));
    bytes.push(session.kvBytes);
    expect(
      coarser(session)
        .flat()
        .every((pages) => pages === 0),
    ).toBe(true);
    session.release();
  }
  await llm.dispose();
});

it("a server makes old pages coarser before it preempts or lets requests wait", async () => {
  const budget = Math.ceil(0.8 * bytes.reduce((sum, each) => sum + each, 0));
  for (const [kv, wanted] of [
    ["auto", 3],
    ["k8v8,sinks=16,window=0", 2],
  ] as const) {
    const { llm } = await load(budget, kv);
    let [preemptions, most, together] = [0, 0, 0];
    const observer = {
      onPreemption: () => preemptions++,
      onStep: (_rows: number, decodeRows: number) => {
        together = Math.max(together, decodeRows);
        most = Math.max(most, llm.cache.numBytes);
      },
    };
    await withScheduler(llm, { observer, prefixCache: false }, async (scheduler) => {
      const actual = await Promise.all(PROMPTS.map((ids, i) => answers(scheduler.generate(ids, options(i)))));
      expect(actual.map(([one]) => said(one!))).toEqual(expected);
      expect(scheduler.stats.coarsenedPages > 0).toBe(kv === "auto");
    });
    expect([together, preemptions]).toEqual([wanted, 0]);
    expect(most).toBeLessThanOrEqual(budget);
    await llm.dispose();
  }
});

it("a session goes on within its budget, the same each time, and its file goes on alike", async () => {
  // As coarse as that, and as coarse as it can get: all that is full in 2 bits.
  for (const share of [0.75, 0.45]) {
    const files: Uint8Array[] = [];
    for (let run = 0; run < 2; run++) {
      const { llm } = await load(Math.ceil(share * bytes[1]!));
      const session = llm.createSession();
      const tokens: number[] = [];
      for await (const { token } of session.generate(PROMPTS[1]!, options(1)))
        if (token !== undefined) tokens.push(token);
      expect(tokens).toEqual(expected[1]!.tokens);
      const pages = coarser(session);
      for (const [fours, threes, twos] of pages as [number, number, number][]) {
        expect(fours).toBeGreaterThan(0);
        expect([threes <= fours, twos <= threes]).toEqual([true, true]);
      }
      if (share < 0.5) expect(pages.flat().some((count) => count > (session.sequence.length - 128) / 64)).toBe(true);
      const file = await session.save();
      session.release();
      const again = await llm.restore(file);
      expect(coarser(again)).toEqual(pages);
      expect(await again.save()).toEqual(file);
      const fork = again.fork();
      const next: number[][] = [];
      // One after the other: there is no room for both.
      again.release();
      for (const which of ["fork", "restored"]) {
        const own = which === "fork" ? fork : await llm.restore(file);
        const said: number[] = [];
        for await (const { token } of own.generate([5, 6, 7], { ...options(2), maxNewTokens: 3 }))
          if (token !== undefined) said.push(token);
        next.push(said);
        own.release();
      }
      expect(next[1]).toEqual(next[0]);
      expect(llm.cache.numBytes).toBe(0);
      files.push(file);
      await llm.dispose();
    }
    expect(files[1]).toEqual(files[0]);
  }
});

it("old pages go to 4 and to 3 bits, then the newest to 4, then old ones to 2, and the newest at the very last", async () => {
  const { llm } = await load(1e9);
  const session = llm.createSession();
  for await (const _ of session.generate(PROMPTS[1]!, { ...options(1), maxNewTokens: 1 }));
  const { length } = session.sequence;
  const [full, old] = [Math.floor(length / 64), Math.floor((length - 128) / 64)];
  // Six pages are full, and the last two of them have tokens among the newest 128.
  expect([full, old]).toEqual([6, 4]);
  const [first] = [coarser(session)];
  expect(first.flat().every((pages) => pages === 0)).toBe(true);
  const seen = new Set<string>();
  for (let isMore = true; isMore; ) {
    const before = llm.cache.numBytes;
    llm.runner.coarsening.makeRoom([session.sequence], () => llm.cache.numBytes < before);
    isMore = llm.cache.numBytes < before;
    for (const [fours, threes, twos] of coarser(session) as [number, number, number][]) {
      if (threes > 0) expect(fours).toBeGreaterThanOrEqual(old);
      if (fours > old) expect(threes).toBeGreaterThanOrEqual(old);
      if (twos > 0) expect(fours).toBe(full);
      if (threes > old) expect(twos).toBeGreaterThanOrEqual(old);
      if (twos > old) expect(threes).toBe(full);
      seen.add([fours, threes, twos].join());
    }
  }
  // A page at a time, through all of it.
  expect([...seen]).toHaveLength(3 * full + 1);
  for (const pages of coarser(session)) expect(pages).toEqual([full, full, full]);
  const { sequence } = session;
  // A full page takes no more tokens, so a cut goes back to its end, or to its beginning.
  expect(sequence.cutTo(6 * 64)).toBe(6 * 64);
  expect(sequence.cutTo(6 * 64 - 1)).toBe(5 * 64);
  session.release();
  expect(llm.cache.numBytes).toBe(0);
  await llm.dispose();
});

it("forks that share pages have them coded anew once", async () => {
  const { llm } = await load(Math.ceil(1.3 * bytes[1]!));
  const [first, ids] = [llm.createSession(), PROMPTS[1]!];
  for await (const _ of first.generate(ids, { ...options(1), maxNewTokens: 1 }));
  const second = first.fork();
  const sequences = [first.sequence, second.sequence];
  const before = llm.cache.numBytes;
  llm.runner.coarsening.makeRoom(sequences, () => llm.cache.numBytes < 0.7 * before);
  expect(llm.cache.numBytes).toBeLessThan(0.7 * before);
  for (const [layer] of llm.cache.layers.entries()) {
    const [own, other] = sequences.map((sequence) => [...sequence.tiers(layer)[0]!.entries()]);
    expect(own).toEqual(other);
  }
  second.release();
  first.release();
  expect(llm.cache.numBytes).toBe(0);
  await llm.dispose();
});

it("asks for a budget, and for one that a sequence can bend to", async () => {
  await expect(loadFake({}, { kv: "auto" })).rejects.toThrow("so say how much there is, as in --kv-budget 2GB");
  await expect(load(1000)).rejects.toThrow(
    /--kv-budget 1\.00 kB: one sequence of 128 tokens, as coarse as it can get, .* give it at least/,
  );
  const { llm } = await loadFake({}, { kv: "k4v4" });
  await expect(llm.withKv("tiers=8:auto,3")).rejects.toThrow("as in --kv-budget");
  await llm.dispose();
});
