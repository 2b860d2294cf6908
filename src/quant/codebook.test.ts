import { describe, expect, it } from "vitest";
import { getCodebook } from "./codebook.ts";

/**
 * Expected squared error of a unit vector, [dimension][bits − 1]: an independent computation in Python, Lloyd's iteration on the
 * same density. It was stopped before the end, so the optimum lies below, by less than UNCONVERGED of it.
 */
const DISTORTION: Readonly<Record<number, readonly number[]>> = {
  64: [
    0.358387361, 0.114525757, 0.0333908343, 0.00913151783, 0.0023992273, 0.000615963054, 0.000156145276, 3.93169068e-5,
  ],
  128: [
    0.360888594, 0.11600007, 0.033965926, 0.0093147881, 0.00245146035, 0.000629960966, 0.000159774108, 4.02413218e-5,
  ],
  256: [
    0.362135618, 0.116740039, 0.0342560039, 0.0094075297, 0.00247794242, 0.000637065242, 0.000161616843, 4.07108458e-5,
  ],
};
const UNCONVERGED = [1e-8, 1e-8, 2e-8, 5e-8, 2e-7, 5e-7, 2e-6, 6e-6];

/** The limit N(0, 1): Max 1960, table I, gives the same to four digits. */
const NORMAL_DISTORTION = [0.36338, 0.117482, 0.0345478, 0.00950101, 0.00250467, 0.00064424, 1.63478e-4, 4.11853e-5];
const NORMAL_CENTROIDS: Readonly<Record<number, readonly number[]>> = {
  1: [Math.sqrt(2 / Math.PI)],
  2: [0.45278, 1.51042],
  3: [0.24509, 0.75601, 1.34391, 2.15195],
  4: [0.1284, 0.38805, 0.65676, 0.94234, 1.25623, 1.61805, 2.06902, 2.73259],
};

/** d = 128, coordinates of a unit vector, positive half. */
const UNIT_128: Readonly<Record<number, readonly number[]>> = {
  1: [0.070662],
  2: [0.039992, 0.133042],
  3: [0.021604, 0.066586, 0.11814, 0.188397],
  4: [0.011302, 0.034152, 0.057772, 0.082828, 0.110288, 0.141805, 0.180836, 0.237664],
};
/** d = 128, times √128. */
const SCALED_128: Readonly<Record<number, readonly number[]>> = {
  1: [0.79944],
  2: [0.45245, 1.50519],
  3: [0.24442, 0.75333, 1.3366, 2.13147],
  4: [0.12787, 0.38638, 0.65362, 0.9371, 1.24777, 1.60434, 2.04593, 2.68886],
};

/** The same for wide codes: [index in the positive half, centroid]. */
const SCALED_128_WIDE: Readonly<Record<number, readonly (readonly [number, number])[]>> = {
  5: [
    [0, 0.065569],
    [4, 0.60159],
    [8, 1.2027],
    [12, 2.004037],
    [15, 3.186579],
  ],
  6: [
    [0, 0.033232],
    [8, 0.575062],
    [16, 1.180256],
    [24, 1.983987],
    [31, 3.633264],
  ],
  7: [
    [0, 0.016734],
    [16, 0.561702],
    [32, 1.169169],
    [48, 1.974454],
    [63, 4.03672],
  ],
  8: [
    [0, 0.008398],
    [32, 0.555016],
    [64, 1.163706],
    [96, 1.969919],
    [127, 4.403632],
  ],
};

const BITS = [1, 2, 3, 4, 5, 6, 7, 8] as const;
const positiveHalf = (values: ArrayLike<number>): number[] => Array.from(values).slice(values.length / 2);

describe("getCodebook", () => {
  it("has the distortions of an independent computation for d = 64, 128, 256, or the little less that it missed", () => {
    for (const [d, row] of Object.entries(DISTORTION)) {
      row.forEach((expected, i) => {
        const gain = 1 - getCodebook(Number(d), i + 1).distortion / expected;
        // Nine digits of the figures.
        expect(gain, `d=${d} bits=${i + 1}`).toBeGreaterThan(-5e-9);
        expect(gain, `d=${d} bits=${i + 1}`).toBeLessThan(UNCONVERGED[i]!);
      });
    }
  });

  it("has its centroids at d = 128, in both conventions", () => {
    for (const bits of [1, 2, 3, 4]) {
      const { centroids, scaled } = getCodebook(128, bits);
      positiveHalf(centroids).forEach((c, i) => {
        expect(Math.abs(c - UNIT_128[bits]![i]!)).toBeLessThan(6e-7);
      });
      positiveHalf(scaled).forEach((c, i) => {
        expect(Math.abs(c - SCALED_128[bits]![i]!)).toBeLessThan(6e-6);
      });
    }
    for (const [bits, rows] of Object.entries(SCALED_128_WIDE)) {
      const half = positiveHalf(getCodebook(128, Number(bits)).scaled);
      // A millionth of the largest is what the other computation lacks at 8 bits; neighbours are 0.0168 apart or more.
      for (const [i, c] of rows) expect(Math.abs(half[i]! - c), `${bits} bits, ${i}`).toBeLessThan(6e-6);
    }
  });

  it("tends to the quantizer of N(0, 1): by d = 1,000,000 to five digits, and ever closer before", () => {
    for (const bits of BITS) {
      const errors = [8, 64, 128, 256, 4096, 1e6].map((d) =>
        Math.abs(getCodebook(d, bits).distortion / NORMAL_DISTORTION[bits - 1]! - 1),
      );
      expect(errors.at(-1)).toBeLessThan(2e-5);
      expect(errors.slice(0, 4)).toEqual(errors.slice(0, 4).sort((a, b) => b - a));
    }
    for (const bits of [1, 2, 3, 4]) {
      positiveHalf(getCodebook(1e6, bits).scaled).forEach((c, i) => {
        expect(Math.abs(c - NORMAL_CENTROIDS[bits]![i]!)).toBeLessThan(1.5e-5);
      });
    }
  });

  it("stays between the information limit 4^−b and the bound √3·π/2·4^−b of the paper", () => {
    for (const d of [8, 16, 24, 64, 80, 96, 128, 256]) {
      for (const bits of BITS) {
        const { distortion } = getCodebook(d, bits);
        expect(distortion).toBeGreaterThan(4 ** -bits);
        expect(distortion).toBeLessThan(((Math.sqrt(3) * Math.PI) / 2) * 4 ** -bits);
      }
    }
  });

  it("is ascending and exactly symmetric, its boundaries midpoints", () => {
    for (const d of [8, 24, 80, 128, 256]) {
      for (const bits of BITS) {
        const { centroids, scaled, boundaries } = getCodebook(d, bits);
        const n = 2 ** bits;
        expect([centroids.length, scaled.length, boundaries.length]).toEqual([n, n, n - 1]);
        for (let i = 0; i < n; i++) {
          expect(centroids[i]).toBe(-centroids[n - 1 - i]!);
          expect(scaled[i]).toBe(-scaled[n - 1 - i]!);
          expect(scaled[i]).toBe(Math.fround(centroids[i]! * Math.sqrt(d)));
          if (i === 0) continue;
          expect(scaled[i]).toBeGreaterThan(scaled[i - 1]!);
          expect(boundaries[i - 1]).toBe(Math.fround(((centroids[i - 1]! + centroids[i]!) / 2) * Math.sqrt(d)));
        }
        expect(boundaries[n / 2 - 1]).toBe(0);
      }
    }
  });

  it("is computed once, and refuses what it cannot compute", () => {
    expect(getCodebook(128, 4)).toBe(getCodebook(128, 4));
    for (const [d, bits] of [
      [128, 0],
      [128, 9],
      [128, 2.5],
      [2, 4],
      [Number.NaN, 4],
    ] as const) {
      expect(() => getCodebook(d, bits)).toThrowError(expect.objectContaining({ code: "invalid_argument" }));
    }
  });
});
