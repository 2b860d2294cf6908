import { describe, expect, it } from "vitest";
import { argmax, checkFinite } from "./logits.ts";

describe("argmax", () => {
  it.each([1, 2, 3, 4, 5, 7, 8, 9, 4097])("finds the largest of %i wherever it is", (length) => {
    for (let at = 0; at < length; at += Math.max(1, Math.floor(length / 9))) {
      const scores = new Float32Array(length).fill(-2);
      scores[at] = -1;
      expect(argmax(scores)).toBe(at);
    }
  });

  it("takes the first of equal ones, whether or not zero has a sign", () => {
    expect(argmax(Float32Array.of(1, 3, 2, 3, 3, 3))).toBe(1);
    expect(argmax(Float32Array.of(-1, -0, 0, 0))).toBe(1);
    expect(argmax(new Float32Array(9).fill(Number.NEGATIVE_INFINITY))).toBe(0);
  });
});

describe("checkFinite", () => {
  it.each([1, 2, 3, 4, 5, 8, 9])("finds what is not finite at every place of %i", (length) => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (let at = 0; at < length; at++) {
        const logits = new Float32Array(length).fill(3.4e38);
        expect(() => checkFinite(logits)).not.toThrow();
        logits[at] = value;
        expect(() => checkFinite(logits)).toThrow(`token ${at}: ${value}`);
      }
    }
  });

  it("refuses no logits at all", () => {
    expect(() => checkFinite(new Float32Array(0))).toThrow("not finite");
  });
});
