import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { topIndices } from "./top-indices.ts";

describe("topIndices", () => {
  it("is the beginning of a stable descending sort, for any k and with many ties", () => {
    const values = fc.array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.float({ noNaN: true })), { maxLength: 300 });
    fc.assert(
      fc.property(values, fc.nat(320), (list, k) => {
        const array = Float32Array.from(list);
        const sorted = list.map((_, i) => i).sort((a, b) => array[b]! - array[a]! || a - b);
        expect(topIndices(array, k)).toEqual(sorted.slice(0, k));
      }),
      { numRuns: 300, seed: 20260104 },
    );
  });
});
