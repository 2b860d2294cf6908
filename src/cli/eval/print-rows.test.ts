/** @file What an evaluation's tables say where codes were hardly read, and where it was ended early. */
import { expect, it } from "vitest";
import type { EvalRow } from "../../eval/evaluate.ts";
import { detailTables } from "./print-details.ts";
import { evalFooter } from "./print-rows.ts";

const row = (kv: string, more: object = {}) =>
  ({
    ...{ model: "m", textSource: "a.txt", kv, base: "f16", ctx: 200, chunks: 1, tokens: 200, tokensAsked: 200 },
    ...{ seconds: 1, readPath: "packed", codesRead: 0.1, greedy: null, tasks: null, needleGrid: null, layers: null },
    ...more,
  }) as unknown as EvalRow;

it("the rest of few codes is sinks and window, and of tiers the finer ones, which have no window= to change", () => {
  const lines = evalFooter([row("k4v4"), row("k3v3"), row("tiers=8:128,4:160,2"), row("k2v2", { codesRead: 0.9 })]);
  expect(lines.split("\n").filter((line) => line.startsWith("codes: "))).toEqual([
    "codes: k4v4 and k3v3: only 10 % of what attention read were codes, the rest sinks and window, so the figures say little about longer texts; use a longer --ctx or window=0",
    "codes: tiers=8:128,4:160,2: only 10 % of what attention read were codes of the coarsest tier, the rest finer tiers and sinks, so the figures say little about longer texts; use a longer --ctx",
  ]);
});

it("parts in which no prompt was asked before the end have no table", () => {
  expect(detailTables([row("k4v4", { tasks: [], needleGrid: [] })])).toBe("");
});
