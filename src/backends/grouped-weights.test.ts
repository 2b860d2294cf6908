import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GROUP, paddedCols, quantizeRows, roundToGroups } from "./grouped-weights.ts";

const finite = fc.float({ noNaN: true, noDefaultInfinity: true, min: -1000, max: 1000 });
const groupOf = (values: readonly number[]) => Float32Array.from(values);

describe("weights in groups", () => {
  it("q4 is right for a group worked out by hand", () => {
    // The extreme is +4: scale −0.5, so +4 is code −8, −3.5 is code 7, and −4 does not fit and becomes −3.5.
    const { codes, scales } = quantizeRows(groupOf([4, -3.5, -4, 0.3, 0.2, 0, -0.26]), 1, 7, "q4");
    expect([...scales]).toEqual([-0.5]);
    expect([...codes.subarray(0, 8)]).toEqual([-8, 7, 7, -1, 0, 0, 1, 0]);
  });

  it("q8 is right for a group worked out by hand", () => {
    const { codes, scales } = quantizeRows(groupOf([127, -127, 0.5, 1.5, 2.4]), 1, 5, "q8");
    expect([...scales]).toEqual([1]);
    expect([...codes.subarray(0, 6)]).toEqual([127, -127, 0, 2, 2, 0]);
  });

  it("zeros stay zeros, and what a row does not have is zero", () => {
    for (const type of ["q8", "q4"] as const) {
      const { codes, scales } = quantizeRows(new Float32Array(2 * 40), 2, 40, type);
      expect(codes.length).toBe(2 * paddedCols(40));
      expect(codes.every((code) => code === 0) && scales.every((scale) => scale === 0)).toBe(true);
    }
  });

  it("is off by half a step at most, by a whole one where q4 has no level on the other side", () => {
    fc.assert(
      fc.property(fc.array(finite, { minLength: 1, maxLength: 100 }), (values) => {
        const w = groupOf(values);
        for (const [type, half] of [
          ["q8", 0.5],
          ["q4", 1],
        ] as const) {
          const rounded = roundToGroups(w, 1, w.length, type);
          const { scales, codes } = quantizeRows(w, 1, w.length, type);
          for (let i = 0; i < w.length; i++) {
            const step = Math.abs(scales[Math.floor(i / GROUP)]!);
            const limit = type === "q4" && codes[i]! < 7 ? 0.5 : half;
            expect(Math.abs(rounded[i]! - w[i]!)).toBeLessThanOrEqual(limit * step * (1 + 1e-5) + 1e-40);
          }
        }
      }),
    );
  });
});
