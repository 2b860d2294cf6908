/** @file The tuner's search over made-up plans whose times and numbers are known. */
import { describe, expect, it } from "vitest";
import type { DecodeTuning } from "../../backends/webgpu/attention/decode-attention.ts";
import type { Plan } from "../../backends/webgpu/plans/kernel-plans.ts";
import { type SearchLimits, type SearchResult, type Subject, search, type TuneRow } from "./search.ts";

type Times = Readonly<Record<number, number>>;
const plan = (copies: number): DecodeTuning => ({ copies });
const numberOf = (of: Plan): number => (of as DecodeTuning).copies!;

interface Made {
  readonly times: Times;
  readonly neighbours?: (from: number) => number[];
  /** Plans with wrong numbers, and the one that breaks the device. */
  readonly wrong?: readonly number[];
  readonly breaking?: number;
  readonly noise?: number;
}

/** Plan 1 is the rule's. A run takes as many microseconds as `times` says, and as many milliseconds of the test's clock. */
function made({ times, neighbours = () => [1, 2, 3], wrong = [], breaking, noise = 0 }: Made) {
  let clock = 0;
  let runs = 0;
  const timed: number[] = [];
  const subject: Subject = {
    key: "made up",
    rule: plan(1),
    neighbours: (from) => neighbours(numberOf(from)).map(plan),
    nameOf: (of) => `plan ${numberOf(of)}`,
    check: async (of) => {
      if (numberOf(of) === breaking) throw new Error("the device says no");
      return { difference: wrong.includes(numberOf(of)) ? Number.NaN : 1e-7, limit: 1e-5 };
    },
    time: async (of) => {
      const us = times[numberOf(of)]!;
      clock += us;
      timed.push(numberOf(of));
      return us * (1 + noise * (((runs++ * 7) % 5) / 4 - 0.5));
    },
    dispose: async () => {},
  };
  return { subject, timed, now: () => clock };
}

async function run(
  of: Made,
  limits: Partial<SearchLimits> = {},
): Promise<{ rows: TuneRow[]; timed: number[] } & SearchResult> {
  const { subject, timed, now } = made(of);
  const rows: TuneRow[] = [];
  const trials = search(subject, { until: 1e6, roundMs: 0, now, ...limits });
  for (;;) {
    const { value, done } = await trials.next();
    if (done) return { rows, timed, ...value };
    rows.push(value);
  }
}

describe("the tuner's search", () => {
  it("finds the fastest plan, with the history of the best", async () => {
    const { winner, rows, isWhole } = await run({ times: { 1: 10, 2: 8, 3: 9 } });
    expect(winner).toEqual({ key: "made up", plan: plan(2), us: 8, ruleUs: 10, spread: 0 });
    expect(isWhole).toBe(true);
    expect(rows.map(({ plan: name, us, bestUs, ruleUs }) => [name, us, bestUs, ruleUs])).toEqual([
      ["plan 1", 10, 10, 10],
      ["plan 2", 8, 8, 10],
      ["plan 3", 9, 8, 10],
    ]);
  });

  it("goes on from the best, plan by plan", async () => {
    const times = { 1: 10, 2: 9, 3: 8, 4: 7, 5: 20 };
    const { winner, rows } = await run({
      times,
      neighbours: (from) => [from - 1, from + 1].filter((n) => n > 0 && n < 6),
    });
    expect(numberOf(winner!.plan)).toBe(4);
    expect(rows.map(({ plan: name }) => name)).toEqual([1, 2, 3, 4, 5].map((n) => `plan ${n}`));
  });

  it("keeps the rule's plan where the gain is within the scatter", async () => {
    expect((await run({ times: { 1: 10, 2: 9.5, 3: 11 }, noise: 0.4 })).winner).toBeNull();
    expect((await run({ times: { 1: 10, 2: 9.5, 3: 11 }, noise: 0.01 })).winner).not.toBeNull();
    // Less than a hundredth is worth nothing.
    expect((await run({ times: { 1: 10, 2: 9.95, 3: 11 } })).winner).toBeNull();
  });

  it("drops a plan with wrong numbers and names it, however fast it is", async () => {
    const { winner, rows, timed } = await run({ times: { 1: 10, 2: 1, 3: 9 }, wrong: [2] });
    expect(numberOf(winner!.plan)).toBe(3);
    expect(timed).not.toContain(2);
    const dropped = rows.filter((row) => row.dropped !== undefined);
    expect(dropped.map(({ plan: name, us }) => [name, us])).toEqual([["plan 2", null]]);
    expect(dropped[0]!.dropped).toMatch(/^wrong numbers: off by NaN, expected at most/);
  });

  it("has no winner where the rule's own numbers are wrong", async () => {
    const { winner, timed, isWhole } = await run({ times: { 1: 10, 2: 1, 3: 9 }, wrong: [1] });
    expect([winner, timed, isWhole]).toEqual([null, [], false]);
  });

  it("ends with an error of the device, names the plan, and leaves it out the next time", async () => {
    const excluded = new Set<string>();
    const of = { times: { 1: 10, 2: 8, 3: 9 }, breaking: 2 };
    const first = await run(of, { excluded });
    expect(String(first.failure)).toContain("the device says no");
    expect(first.rows.at(-1)).toMatchObject({ plan: "plan 2", dropped: "the device says no" });
    expect([...excluded]).toEqual(["plan 2"]);
    const second = await run(of, { excluded });
    expect(second.failure).toBeNull();
    expect(numberOf(second.winner!.plan)).toBe(3);
  });

  it("ends when the time is over or it is told to, without a claim", async () => {
    const late = await run({ times: { 1: 10, 2: 8, 3: 9 } }, { until: 20 });
    expect([late.winner, late.isWhole]).toEqual([null, false]);
    const aborted = await run({ times: { 1: 10, 2: 8, 3: 9 } }, { signal: AbortSignal.abort() });
    expect([aborted.winner, aborted.timed]).toEqual([null, []]);
  });

  it("keeps what earlier rounds have found when the time ends in a later one", async () => {
    // Three passes of the rule's plan and two more take 81; the fourth plan is begun and not timed to its end.
    const of: Made = { times: { 1: 10, 2: 8, 3: 9, 4: 50 }, neighbours: (from) => (from === 1 ? [2, 3] : [4]) };
    const { winner, rows, isWhole } = await run(of, { until: 2 * 3 * (10 + 8 + 9) + 1 });
    expect(rows.map(({ plan: name }) => name)).toEqual(["plan 1", "plan 2", "plan 3"]);
    expect([winner?.plan, isWhole]).toEqual([plan(2), false]);
  });

  it("names the plan that the device fails with in the duel", async () => {
    const { subject, now } = made({ times: { 1: 10, 2: 8, 3: 9 } });
    let runs = 0;
    const timed: string[] = [];
    const failing: Subject = {
      ...subject,
      time: (of) => {
        timed.push(subject.nameOf(of));
        // Behind the three plans' race, the second run of a duel is that of the best.
        if (++runs === 20) throw new Error("lost");
        return subject.time(of);
      },
    };
    const excluded = new Set<string>();
    const trials = search(failing, { until: 1e6, roundMs: 0, now, excluded });
    while (!(await trials.next()).done) {}
    expect(timed.slice(-2)).toEqual(["plan 1", "plan 2"]);
    expect([...excluded]).toEqual(["plan 2"]);
  });

  it("does not go on timing what is hopeless", async () => {
    const { timed } = await run({ times: { 1: 10, 2: 100, 3: 9 } }, { roundMs: 1000 });
    expect(timed.filter((n) => n === 2).length).toBeLessThan(timed.filter((n) => n === 3).length / 4);
  });
});
