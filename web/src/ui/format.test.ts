import { describe, expect, it } from "vitest";
import { comparedSize, formatAge, formatRate, formatSeconds } from "./format.ts";

describe("numbers for people", () => {
  it("rates and times", () => {
    expect([0, 3.21, 99.96, 140.4, 5148].map(formatRate)).toEqual(["–", "3.2", "100.0", "140", "5,148"]);
    expect([0.4, 869, 1300, 12_345].map(formatSeconds)).toEqual(["0 ms", "869 ms", "1.30 s", "12.3 s"]);
  });

  it("sizes beside each other", () => {
    expect(comparedSize(100, 237)).toBe("2.37× smaller");
    expect(comparedSize(120, 100)).toBe("1.20× larger");
    expect(comparedSize(5, 5)).toBe("the same size");
  });

  it("ages", () => {
    const now = 1_000_000_000;
    expect([0, 5 * 60_000, 3 * 3_600_000].map((ago) => formatAge(now - ago, now))).toEqual([
      "just now",
      "5 min ago",
      "3 h ago",
    ]);
  });
});
