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

it("a session goes on within its budget; the newest tokens stay fine, and its file goes on alike", async () => {
  const { llm } = await load(Math.ceil(0.75 * bytes[1]!));
  const session = llm.createSession();
  const tokens: number[] = [];
  for await (const { token } of session.generate(PROMPTS[1]!, options(1))) if (token !== undefined) tokens.push(token);
  expect(tokens).toEqual(expected[1]!.tokens);
  const pages = coarser(session);
  for (const [fours, threes, twos] of pages as [number, number, number][]) {
    expect(fours).toBeGreaterThan(0);
    expect(fours).toBeLessThanOrEqual((session.sequence.length - 128) / 64);
    // None is in 3 bits while there is one that may be in 4.
    if (threes > 0) expect(fours).toBe(Math.floor((session.sequence.length - 128) / 64));
    expect(twos).toBeLessThanOrEqual(threes);
  }
  const file = await session.save();
  session.release();
  const again = await llm.restore(file);
  expect(coarser(again)).toEqual(pages);
  expect(await again.save()).toEqual(file);
  again.release();
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

it("asks for a budget, and for one that the newest tokens do not fill", async () => {
  await expect(loadFake({}, { kv: "auto" })).rejects.toThrow("so say how much there is, as in --kv-budget 2GB");
  await expect(load(1000)).rejects.toThrow(/--kv-budget 1\.00 kB: the newest 128 tokens .* give it at least/);
  const { llm } = await loadFake({}, { kv: "k4v4" });
  await expect(llm.withKv("tiers=8:auto,3")).rejects.toThrow("as in --kv-budget");
  await llm.dispose();
});
