import { describe, expect, it } from "vitest";
import { TurboQuantError } from "../errors.ts";
import { klDivergence, quantile, rowStats, summarizeDivergence } from "./divergence.ts";

/** Logits of given probabilities, moved by a constant that must not matter. */
const logitsOf = (probabilities: readonly number[], shift = 0): Float32Array =>
  Float32Array.from(probabilities, (p) => Math.log(p) + shift);

const kl = (a: Float32Array, b: Float32Array): number => klDivergence(a, rowStats(a), b, rowStats(b));

describe("klDivergence", () => {
  it("gives hand-computed values in nats", () => {
    // ½ ln(½ / ¼) + ½ ln(½ / ¾) = ½ ln(4/3); f32 logits of ln p carry 6e-8.
    expect(kl(logitsOf([0.5, 0.5]), logitsOf([0.25, 0.75]))).toBeCloseTo(0.5 * Math.log(4 / 3), 6);
    // ¼ ln(¼ / ½) + ¾ ln(¾ / ½): the other direction is another number.
    expect(kl(logitsOf([0.25, 0.75]), logitsOf([0.5, 0.5]))).toBeCloseTo(
      0.25 * Math.log(0.5) + 0.75 * Math.log(1.5),
      6,
    );
  });

  it("does not depend on a constant added to either row, even a large one", () => {
    const [p, q] = [
      [0.1, 0.2, 0.7],
      [0.3, 0.3, 0.4],
    ];
    // At 500 an f32 logit is rounded by 3e-5.
    expect(Math.abs(kl(logitsOf(p, 500), logitsOf(q, -500)) - kl(logitsOf(p), logitsOf(q)))).toBeLessThan(1e-4);
  });

  it("is exactly 0 for the same row", () => {
    const row = Float32Array.from({ length: 4096 }, (_, i) => Math.sin(i * 12.9898) * 20);
    expect(kl(row, row)).toBe(0);
  });

  it("survives tokens whose probability underflows", () => {
    const row = Float32Array.of(0, -2000);
    expect(kl(row, row)).toBe(0);
    expect(kl(row, Float32Array.of(0, -1000))).toBe(0);
  });
});

describe("rowStats", () => {
  it("takes the lowest of equal logits", () => {
    expect(rowStats(Float32Array.of(1, 3, 3, 2)).argmax).toBe(1);
  });

  it("refuses a row with NaN", () => {
    expect(() => rowStats(Float32Array.of(1, Number.NaN, 2))).toThrow(TurboQuantError);
    expect(() => rowStats(Float32Array.of(1, Number.POSITIVE_INFINITY))).toThrow(TurboQuantError);
  });
});

describe("quantile", () => {
  it("interpolates as numpy does", () => {
    // numpy.quantile([1, 2, 4, 8], [0, .5, .9, .99, 1]) = 1, 3, 6.8, 7.88, 8
    const sorted = [1, 2, 4, 8];
    expect([0, 0.5, 0.9, 0.99, 1].map((q) => quantile(sorted, q))).toEqual(
      [1, 3, 6.8, 7.88, 8].map((v) => expect.closeTo(v, 12)),
    );
    expect(quantile([5], 0.99)).toBe(5);
    expect(quantile([], 0.5)).toBeNaN();
  });

  it("summary of 0 … 1000 in any order", () => {
    const values = Float64Array.from({ length: 1001 }, (_, i) => (i * 10) % 1001);
    expect(summarizeDivergence(values)).toEqual({
      kldMean: 500,
      kldMedian: 500,
      kldP99: 990,
      kldP999: 999,
      kldMax: 1000,
    });
  });
});
