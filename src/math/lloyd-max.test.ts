import { describe, expect, it } from "vitest";
import { BetaDensity } from "./beta-density.ts";
import { distortion, lloydIterations, lloydMax } from "./lloyd-max.ts";

describe("BetaDensity", () => {
  it("has the mass, mean of |t| and variance of a coordinate of a random unit vector", () => {
    // E|t| = Γ(d/2) / (√π Γ((d+1)/2)); for even d by recursion from d = 2, where it is 2/π.
    const meanMagnitude = (d: number): number => {
      let ratio = 2 / Math.PI;
      for (let k = 2; k < d; k += 2) ratio *= k / (k + 1);
      return ratio;
    };
    for (const d of [8, 24, 64, 80, 128, 256, 4096]) {
      const density = new BetaDensity(d);
      expect(2 * density.mass(0, 1)).toBeCloseTo(1, 12);
      expect((2 * density.firstMoment(0, 1)) / meanMagnitude(d)).toBeCloseTo(1, 8);
      expect(2 * density.squaredError(0, 1, 0) * d).toBeCloseTo(1, 8);
    }
  });

  it("integrates the tail, where only a millionth of the mass lies", () => {
    // d = 5: f(t) = ¾(1 − t²), so P[t > a] = ½ − ¾a + ¼a³.
    const a = 0.999;
    expect(new BetaDensity(5).mass(a, 1) / (0.5 - 0.75 * a + 0.25 * a ** 3)).toBeCloseTo(1, 9);
  });
});

describe("lloydMax", () => {
  it("is stationary: each centroid is the mean of its cell", () => {
    for (const d of [8, 64, 96, 128, 256, 4096]) {
      const density = new BetaDensity(d);
      for (const bits of [1, 2, 3, 4, 5, 6, 7, 8]) {
        const c = lloydMax(density, 2 ** bits);
        expect(c.length).toBe(2 ** (bits - 1));
        for (let i = 0; i < c.length; i++) {
          const a = i === 0 ? 0 : (c[i - 1]! + c[i]!) / 2;
          const b = i === c.length - 1 ? 1 : (c[i]! + c[i + 1]!) / 2;
          expect(a).toBeLessThan(b);
          // Moments of the narrowest cells lose seven digits to cancellation; a thousand rounds of Lloyd leave 1e-5.
          expect(Math.abs(density.firstMoment(a, b) / density.mass(a, b) / c[i]! - 1)).toBeLessThan(1e-9);
        }
      }
    }
  });

  it("is a minimum: moving any centroid either way costs", () => {
    const density = new BetaDensity(64);
    const c = lloydMax(density, 8);
    const best = distortion(density, c);
    for (let i = 0; i < c.length; i++) {
      for (const factor of [0.98, 1.02]) {
        expect(
          distortion(
            density,
            Float64Array.from(c, (x, j) => (i === j ? x * factor : x)),
          ),
        ).toBeGreaterThan(best);
      }
    }
  });
});

describe("lloydIterations", () => {
  it("each one costs less than the one before and never beats the optimum", () => {
    const density = new BetaDensity(64);
    for (const levels of [4, 16, 64]) {
      const best = distortion(density, lloydMax(density, levels));
      const losses = [1, 10, 100, 1000].map((n) => distortion(density, lloydIterations(density, levels, n)) / best - 1);
      for (let i = 1; i < losses.length; i++) expect(losses[i]!).toBeLessThanOrEqual(losses[i - 1]! + 1e-9);
      expect(losses[3]!).toBeGreaterThan(-1e-9);
      expect(losses[0]!).toBeGreaterThan(0.02);
    }
  });

  it("ten are enough for two bits, not for four: 29 % more distortion at head_dim 64", () => {
    const density = new BetaDensity(64);
    const loss = (levels: number): number =>
      distortion(density, lloydIterations(density, levels, 10)) / distortion(density, lloydMax(density, levels)) - 1;
    expect(loss(4)).toBeLessThan(1e-4);
    expect(loss(16)).toBeGreaterThan(0.25);
    expect(loss(16)).toBeLessThan(0.33);
  });
});
