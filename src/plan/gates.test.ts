/** @file Intervals that hold what they promise, and verdicts at, above and below a gate. */
import { describe, expect, it } from "vitest";
import { CounterRng } from "../math/rng.ts";
import { type ChunkEvidence, estimate, GATES, judge, verdictOf } from "./gates.ts";

const good: ChunkEvidence = {
  pplRatio: 1.001,
  pplRatioSe: 0.0005,
  kldMean: 0.002,
  kldMeanSe: 0.0002,
  kldP999: 0.02,
  top1: 0.985,
  tokens: 2048,
};
const chunks = (n: number, change: Partial<ChunkEvidence> = {}) =>
  Array.from({ length: n }, () => ({ ...good, ...change }));
const verdicts = (evidence: readonly ChunkEvidence[], gate = GATES.intact, tails: readonly number[] = []) =>
  Object.fromEntries(judge(gate, evidence, tails).map(({ name, verdict }) => [name, verdict]));

describe("estimate", () => {
  it("covers the mean of normal chunks in at least 98.5 % of 4,000 samples of 3 to 8", () => {
    const rng = new CounterRng(1, 7);
    let drawn = 0;
    let covered = 0;
    const trials = 4000;
    for (let trial = 0; trial < trials; trial++) {
      const values = Array.from({ length: 3 + (trial % 6) }, () => 5 + 2 * rng.gaussian(drawn++));
      const { low, high } = estimate(
        values,
        values.map(() => 0),
      );
      if (low <= 5 && 5 <= high) covered++;
    }
    // 99 % nominal; three standard errors of the share below it.
    expect(covered / trials).toBeGreaterThan(0.99 - 3 * Math.sqrt((0.99 * 0.01) / trials));
    expect(covered / trials).toBeLessThan(0.999);
  });

  it("is no narrower than what the chunks say of themselves, and cautious with one or two", () => {
    expect(estimate([1, 1, 1], [0.3, 0.3, 0.3]).high - 1).toBeCloseTo((2.5758 * 0.3) / Math.sqrt(3), 4);
    expect(estimate([1], [0.3]).high - 1).toBeCloseTo(2 * 2.5758 * 0.3, 4);
    expect(estimate([1, 2], [Number.NaN, 0.1])).toEqual({
      value: 1.5,
      low: Number.NEGATIVE_INFINITY,
      high: Number.POSITIVE_INFINITY,
    });
    expect(estimate([1, 2, 3], [Number.NaN, 0, 0]).high).toBeCloseTo(2 + 9.925 / Math.sqrt(3), 4);
  });
});

describe("judge", () => {
  it("passes what is on the good side of everything, whole intervals counted", () => {
    expect(verdicts(chunks(3))).toEqual({
      "PPL ratio": "pass",
      "KLD mean": "pass",
      "top-1": "pass",
      "KLD p99.9": "pass",
    });
    expect(verdictOf(judge(GATES.intact, chunks(3)))).toBe("pass");
    // The tail of one chunk says nothing about other chunks.
    expect(verdicts(chunks(1))).toMatchObject({ "KLD mean": "pass", "KLD p99.9": "open" });
    expect(verdictOf(judge(GATES.intact, chunks(1)))).toBe("open");
  });

  it.each([
    ["PPL ratio", { pplRatio: 1.02 }, { pplRatio: 1.01 }],
    ["KLD mean", { kldMean: 0.02 }, { kldMean: 0.0101 }],
    ["top-1", { top1: 0.95 }, { top1: 0.971 }],
  ] as const)("%s fails beyond the gate and is open at it", (name, bad, near) => {
    expect(verdicts(chunks(3, bad))[name]).toBe("fail");
    expect(verdictOf(judge(GATES.intact, chunks(3, bad)))).toBe("fail");
    expect(verdicts(chunks(3, near))[name]).toBe("open");
    expect(verdicts(chunks(3, bad), GATES.usable)[name]).not.toBe("fail");
  });

  it("the tail may be three times that of 8 bits, or the floor", () => {
    const tail = (kldP999: number, reference?: number) =>
      verdicts(chunks(3, { kldP999 }), GATES.intact, reference === undefined ? [] : [reference, reference, reference])[
        "KLD p99.9"
      ];
    expect([tail(0.06), tail(0.08), tail(0.08, 0.001), tail(0.08, 0.03), tail(0.1, 0.03)]).toEqual([
      "pass",
      "fail",
      "fail",
      "pass",
      "fail",
    ]);
    expect(verdicts(chunks(3), GATES.usable)).not.toHaveProperty("KLD p99.9");
  });

  it("takes the spread between parts of chunks where they are known, which are more than chunks", () => {
    const parts = (shift: number) =>
      [-1, 1, -1, 1].map((sign) => ({ logRatio: 0.001, kldMean: 0.005 + shift + sign * 0.001, top1: 0.98 }));
    const own = (shift: number): ChunkEvidence => ({ ...good, kldMean: 0.005 + shift, segments: parts(shift) });
    const of = (evidence: readonly ChunkEvidence[]) =>
      judge(GATES.intact, evidence).find(({ name }) => name === "KLD mean")!;
    const evidence = [own(-0.002), own(0), own(0.002)];
    const plain = evidence.map(({ segments: _, ...chunk }) => chunk);
    expect(of(plain)).toMatchObject({ verdict: "open", isMet: true });
    const { estimate: narrow, verdict } = of(evidence);
    expect(verdict).toBe("pass");
    // Twelve values whose squares sum to 3 · 4 · 1e-6 + 2 · 4 · 4e-6 about their mean.
    expect(narrow.high - 0.005).toBeCloseTo(3.106 * Math.sqrt(44e-6 / 11 / 12), 6);
    // Not narrower than the chunks themselves say.
    const unsure = evidence.map((chunk) => ({ ...chunk, kldMeanSe: 0.01 }));
    expect(of(unsure).estimate.high - 0.005).toBeCloseTo((2.5758 * 0.01) / Math.sqrt(3), 5);
  });

  it("no agreement is certain, and no bound leaves its range", () => {
    const criteria = judge(GATES.intact, chunks(3, { top1: 1, kldMean: 1e-6, kldMeanSe: 1e-3 }));
    const { estimate: top1 } = criteria.find(({ name }) => name === "top-1")!;
    expect(top1.high).toBe(1);
    expect(top1.low).toBeLessThan(1);
    expect(criteria.find(({ name }) => name === "KLD mean")!.estimate.low).toBe(0);
  });
});
