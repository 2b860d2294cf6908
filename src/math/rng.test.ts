import { describe, expect, it } from "vitest";
import { CounterRng, signs, threefry2x32 } from "./rng.ts";

function threefry(...words: readonly [k0: number, k1: number, c0: number, c1: number]): string {
  const out = new Uint32Array(2);
  threefry2x32(...words, out);
  return [...out].map((word) => word.toString(16).padStart(8, "0")).join(" ");
}

describe("threefry2x32", () => {
  it("gives the known answers of Random123 (20 rounds)", () => {
    expect(threefry(0, 0, 0, 0)).toBe("6b200159 99ba4efe");
    expect(threefry(0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff)).toBe("1cb996fc bb002be7");
    expect(threefry(0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3)).toBe("c4923a9c 483df7a0");
  });
});

describe("CounterRng", () => {
  it("is a function of seed, stream and counter, in any order", () => {
    const rng = new CounterRng(7, 3);
    const forward = Array.from({ length: 9 }, (_, i) => rng.uint32(i));
    const backward = Array.from({ length: 9 }, (_, i) => rng.uint32(8 - i)).reverse();
    expect(backward).toEqual(forward);
    expect(new Set(forward).size).toBe(9);
    expect(new CounterRng(7, 3).uint32(4)).toBe(forward[4]);
    expect(new CounterRng(8, 3).uint32(4)).not.toBe(forward[4]);
    expect(new CounterRng(7, 4).uint32(4)).not.toBe(forward[4]);
    // Counters beyond 32 bits are not folded onto small ones.
    expect(rng.uint32(2 ** 33 + 1)).not.toBe(rng.uint32(1));
  });

  it("is uniform: 64 cells, n = 65,536", () => {
    const n = 65_536;
    const counts = new Float64Array(64);
    const rng = new CounterRng(1, 1);
    for (let i = 0; i < n; i++) counts[Math.floor(rng.uniform(i) * 64)]!++;
    const expected = n / 64;
    const chiSquare = counts.reduce((sum, c) => sum + (c - expected) ** 2 / expected, 0);
    // 63 degrees of freedom: mean 63, deviation 11.2; [25, 118] is beyond 99.999 %.
    expect(chiSquare).toBeGreaterThan(25);
    expect(chiSquare).toBeLessThan(118);
  });

  it("draws normal values: moments of n = 40,000 within 5 standard errors", () => {
    const n = 40_000;
    const rng = new CounterRng(2, 9);
    const moments = [0, 0, 0, 0];
    for (let i = 0; i < n; i++) {
      const x = rng.gaussian(i);
      for (let k = 0; k < 4; k++) moments[k]! += x ** (k + 1) / n;
    }
    // Variances of x, x², x³, x⁴ under N(0, 1): 1, 2, 15, 96.
    for (const [k, expected, variance] of [
      [0, 0, 1],
      [1, 1, 2],
      [2, 0, 15],
      [3, 3, 96],
    ] as const) {
      expect(Math.abs(moments[k]! - expected)).toBeLessThan(5 * Math.sqrt(variance / n));
    }
  });
});

describe("signs", () => {
  it("are ±1, balanced, the same for the same seed and others for another", () => {
    const a = signs(5, 0x7160, 4096);
    expect(a.every((s) => s === 1 || s === -1)).toBe(true);
    expect(signs(5, 0x7160, 4096)).toEqual(a);
    // Sum and agreement of 4,096 independent signs: deviation 64.
    expect(Math.abs(a.reduce((sum, s) => sum + s, 0))).toBeLessThan(5 * 64);
    const b = signs(6, 0x7160, 4096);
    expect(Math.abs(a.reduce((sum, s, i) => sum + s * b[i]!, 0))).toBeLessThan(5 * 64);
  });
});
