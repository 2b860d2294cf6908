import { expect, it } from "vitest";
import { type Figures, isWithinLimits, rateOf, scoreOf } from "./objective.ts";

const figures = (bitsPerValue: number, kldMean: number): Figures => ({
  bitsPerValue,
  kldMean,
  kldP99: 10 * kldMean,
  kldP999: 20 * kldMean,
  pplRatio: 1 + kldMean,
});

it("a bit is worth a quarter of the KLD", () => {
  expect(rateOf(figures(4, 0.01))).toBeCloseTo(rateOf(figures(3, 0.04)), 12);
  expect(rateOf(figures(4, 0.01))).toBeLessThan(rateOf(figures(4, 0.02)));
  expect(rateOf(figures(4, 0))).toBeGreaterThan(-20);
});

it("runs beyond a limit come after all within, the nearer ones first; null is no limit", () => {
  const objective = { minimize: "kldMean" as const, maxKld: null, maxBits: 4 };
  const [within, near, far] = [figures(4, 5), figures(4.5, 0.001), figures(8, 0.001)].map((f) => scoreOf(objective, f));
  expect(within).toBe(5);
  expect(near).toBeGreaterThan(within!);
  expect(far).toBeGreaterThan(near!);
  expect([within, near, far].map((score) => isWithinLimits(score!))).toEqual([true, false, false]);
  expect(scoreOf({ minimize: "bitsPerValue", maxKld: 0.03 }, figures(2, 0.02))).toBe(2);
});

it("a figure that is none is the worst", () => {
  expect(scoreOf({ minimize: "kldP99", maxKld: null }, figures(4, Number.NaN))).toBe(Number.POSITIVE_INFINITY);
});
