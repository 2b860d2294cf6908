import { describe, expect, it } from "vitest";
import { CounterRng } from "../math/rng.ts";
import { batchStandardError, wilson } from "./intervals.ts";

describe("wilson", () => {
  it("gives the values of the literature", () => {
    // 13 of 15: the article's 87 %. R: prop.test(13, 15, correct = FALSE) → 0.6212 … 0.9626
    expect(wilson(13, 15).low).toBeCloseTo(0.6212, 4);
    expect(wilson(13, 15).high).toBeCloseTo(0.9626, 4);
    expect(wilson(81, 263).low).toBeCloseTo(0.2553, 4); // Newcombe 1998, table I
    expect(wilson(81, 263).high).toBeCloseTo(0.3662, 4);
    expect(wilson(0, 20)).toEqual({ low: 0, high: expect.closeTo(0.1611, 4) });
    expect(wilson(20, 20)).toEqual({ low: expect.closeTo(0.8389, 4), high: 1 });
  });

  it("covers the true rate in 95 % of samples", () => {
    // 4,000 samples of 60 at p = 0.9: the share that covers has a standard error of 0.35 %; Wilson's own deviation is ±1.5 %.
    const rng = new CounterRng(11, 1);
    let draw = 0;
    let covered = 0;
    for (let sample = 0; sample < 4000; sample++) {
      let hits = 0;
      for (let i = 0; i < 60; i++) if (rng.uniform(draw++) < 0.9) hits++;
      const { low, high } = wilson(hits, 60);
      if (low <= 0.9 && 0.9 <= high) covered++;
    }
    expect(covered / 4000).toBeGreaterThan(0.925);
    expect(covered / 4000).toBeLessThan(0.985);
  });

  it("refuses what is no rate", () => {
    expect(() => wilson(1, 0)).toThrow(/at least one trial/);
    expect(() => wilson(5, 4)).toThrow(/0 to 4 hits/);
  });
});

describe("batchStandardError", () => {
  it("is the usual one for independent values, and larger for values that repeat", () => {
    const rng = new CounterRng(3, 2);
    const independent = Float64Array.from({ length: 12_800 }, (_, i) => rng.gaussian(i));
    // √(1 / 12,800) = 0.0088; 200 batches give it within 5 % (one standard deviation).
    expect(batchStandardError(independent) / Math.sqrt(1 / 12_800)).toBeGreaterThan(0.8);
    expect(batchStandardError(independent) / Math.sqrt(1 / 12_800)).toBeLessThan(1.2);
    // Every value eight times in a row: an eighth of the information, √8 the error.
    const repeated = independent.map((_, i) => independent[Math.floor(i / 8)]!);
    expect(batchStandardError(repeated) / Math.sqrt(8 / 12_800)).toBeGreaterThan(0.8);
    expect(batchStandardError(repeated) / Math.sqrt(8 / 12_800)).toBeLessThan(1.2);
  });

  it("needs two runs", () => {
    expect(batchStandardError(new Float64Array(95))).toBeNaN();
    expect(batchStandardError(new Float64Array(96))).toBe(0);
    expect(batchStandardError([])).toBeNaN();
  });
});
