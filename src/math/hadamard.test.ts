import { describe, expect, it } from "vitest";
import { dot4 } from "./dot.ts";
import { fwht } from "./hadamard.ts";

describe("fwht", () => {
  it("is the Sylvester matrix: entry (i, j) is −1 to the number of common bits", () => {
    for (const n of [1, 2, 8, 64]) {
      for (let j = 0; j < n; j++) {
        const x = new Float32Array(n);
        x[j] = 1;
        fwht(x, 0, n);
        for (let i = 0; i < n; i++) {
          let bits = i & j;
          let parity = 0;
          for (; bits > 0; bits >>= 1) parity ^= bits & 1;
          expect(x[i]).toBe(parity ? -1 : 1);
        }
      }
    }
  });

  it("touches nothing outside its range", () => {
    const x = Float32Array.from({ length: 12 }, (_, i) => i);
    fwht(x, 2, 8);
    expect([x[0], x[1], x[10], x[11]]).toEqual([0, 1, 10, 11]);
    expect(x[2]).toBe(2 + 3 + 4 + 5 + 6 + 7 + 8 + 9);
  });
});

describe("dot4", () => {
  it("rounds after each operation and joins four accumulators pairwise", () => {
    // In accumulator 0: 2^24 + 1 stays 2^24 in f32; a plain f64 sum would give 2^24 + 1.
    const a = Float32Array.of(2 ** 24, 0, 0, 0, 1, 0, 0, 0);
    const ones = new Float32Array(8).fill(1);
    expect(dot4(a, 0, ones, 0, 8)).toBe(2 ** 24);
    // In accumulators 0 and 1 as well; but two ones meet in accumulator 1 first and count.
    expect(dot4(Float32Array.of(2 ** 24, 1, 0, 0, 0, 1, 0, 0), 0, ones, 0, 8)).toBe(2 ** 24 + 2);
    expect(dot4(Float32Array.of(9, 1, 2, 3, 4), 1, Float32Array.of(1, 10, 100, 1000), 0, 4)).toBe(4321);
  });
});
