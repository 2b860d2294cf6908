import { describe, expect, it } from "vitest";
import type { EvalRow } from "../../eval/evaluate.ts";
import type { NeedleCell } from "../../eval/needle-grid.ts";
import { detailTables } from "./print-details.ts";

const cell = (length: number, prompts: number): NeedleCell => ({
  length,
  tokens: length,
  depth: 0.5,
  prompts,
  recall: 1,
  recallLow: 0.5,
  recallHigh: 1,
  recallBase: 1,
});
const printed = (...needleGrid: NeedleCell[]): string =>
  detailTables(
    [{ kv: "k4v4", base: "f16", needleGrid, greedy: null, tasks: null, layers: null } as unknown as EvalRow],
    100,
  );

describe("the table of a needle grid", () => {
  it("says how many prompts all lengths have", () => {
    expect(printed(cell(512, 3), cell(1024, 3))).toContain("by length and depth, 3 prompts a length (");
    expect(printed(cell(512, 1))).toContain("by length and depth, 1 prompt a length (");
  });

  it("says so where the time was over before the last length had all of them", () => {
    expect(printed(cell(512, 4), cell(1024, 2))).toContain("by length and depth, 4, 2 prompts of the lengths (");
  });
});
