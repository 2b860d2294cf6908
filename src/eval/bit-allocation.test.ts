import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { allocateBits, interpolateCosts } from "./bit-allocation.ts";

/** Least sum of costs by trying everything. */
function bruteForce(costs: readonly (readonly number[])[], widths: readonly number[], budget: number): number {
  const [own, ...rest] = costs;
  if (!own) return 0;
  let best = Number.POSITIVE_INFINITY;
  for (const [i, width] of widths.entries()) {
    if (width > budget) continue;
    best = Math.min(best, own[i]! + bruteForce(rest, widths, budget - width));
  }
  return best;
}

describe("allocateBits", () => {
  it("is as good as trying everything, and keeps the budget", () => {
    const cost = fc.double({ min: 0, max: 1, noNaN: true });
    const costs = fc.array(fc.tuple(cost, cost, cost), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(costs, fc.integer({ min: 0, max: 20 }), (costs, extra) => {
        const widths = [2, 3, 6];
        const budget = costs.length * 2 + extra;
        const found = allocateBits(costs, widths, budget);
        const sum = found.reduce((total, choice, unit) => total + costs[unit]![choice]!, 0);
        expect(found.length).toBe(costs.length);
        expect(found.reduce((total, choice) => total + widths[choice]!, 0)).toBeLessThanOrEqual(budget);
        expect(sum).toBeCloseTo(bruteForce(costs, widths, budget), 12);
      }),
    );
  });

  it("gives the bits to whom they help most, and spends none for nothing", () => {
    // One unit is a hundred times as sensitive as the other.
    const costs = [
      [100, 25, 6],
      [1, 0.25, 0.06],
    ];
    expect(allocateBits(costs, [2, 3, 4], 6)).toEqual([2, 0]);
    expect(allocateBits([[1, 1, 1]], [2, 3, 4], 4)).toEqual([0]);
    expect(allocateBits(costs, [2, 3, 4], 100)).toEqual([2, 2]);
  });

  it("counts the bits of units by their sizes", () => {
    const costs = [
      [10, 1, 0],
      [8, 1, 0],
    ];
    // One bit more is two for the first: the second gets it.
    expect(allocateBits(costs, [2, 3, 4], 7, [2, 1])).toEqual([0, 1]);
    expect(allocateBits(costs, [2, 3, 4], 8, [2, 1])).toEqual([1, 0]);
    expect(allocateBits(costs, [2, 3, 4], 9, [2, 1])).toEqual([1, 1]);
    expect(() => allocateBits(costs, [2, 3, 4], 5, [2, 1])).toThrow(/got a budget of 1.67/);
  });

  it("refuses a budget below the smallest width", () => {
    expect(() => allocateBits([[1], [1]], [2], 3)).toThrow(/at least 2 bits a value .* got a budget of 1.50/);
  });
});

describe("interpolateCosts", () => {
  const distortion = (width: number): number => 4 ** -width;

  it("keeps what was measured and follows the distortion elsewhere", () => {
    const costs = interpolateCosts(
      new Map([
        [2, 0.16],
        [4, 0.01],
      ]),
      [1, 2, 3, 4, 6],
      distortion,
    );
    // Between: the geometric mean. Outside: 4 a bit.
    expect(costs).toEqual([0.64, 0.16, 0.04, 0.01, 0.01 / 16].map((c) => expect.closeTo(c, 12)));
  });

  it("noise cannot make a wider code worse than a narrower one", () => {
    expect(
      interpolateCosts(
        new Map([
          [2, 0.1],
          [3, 0.2],
          [4, 0.05],
        ]),
        [2, 3, 4],
        distortion,
      ),
    ).toEqual([0.1, 0.1, 0.05]);
    expect(interpolateCosts(new Map([[2, 0]]), [2, 3], distortion)).toEqual([0, 0]);
  });
});
