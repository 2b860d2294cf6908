/** @file The one line that measures everything: which steps it has, what makes two of them the same, and its report. */
import { expect, it } from "vitest";
import type { EvalRow } from "../src/eval/evaluate.ts";
import { type EvidenceRow, reportOf } from "../tools/evidence/report.ts";
import { idOf, readPart, stepsOf } from "../tools/evidence/steps.ts";

const plan = { kv: ["k4v4", "k2v2"], lengths: [1024, 4096], tokens: 4096, tasks: 3, needles: 2, greedy: 10 };
const HEAD = { model: "a model", text: "novel.txt", command: "npx tsx tools/evidence.ts", backend: "wasm" };

it("has a step for each format, measurement and length, and leaves out what is not asked for", () => {
  const steps = stepsOf(plan);
  expect(steps.map(({ measurement, length, kv }) => `${measurement} ${length} ${kv}`)).toEqual([
    ...["divergence", "tasks", "needles"].flatMap((what) => [`${what} 1024 k4v4`, `${what} 1024 k2v2`]),
    ...["divergence", "tasks", "needles"].flatMap((what) => [`${what} 4096 k4v4`, `${what} 4096 k2v2`]),
    ...["greedy 0 k4v4", "greedy 0 k2v2"],
  ]);
  expect(steps[0]!.options).toEqual({ ctx: 1024, chunks: 4 });
  expect(steps[6]!.options).toEqual({ ctx: 4096, chunks: 1 });
  expect(stepsOf({ ...plan, tasks: 0, needles: 0, greedy: 0 })).toHaveLength(4);
});

it("two steps are the same when format, settings, model and text are", () => {
  const ids = stepsOf(plan).map((step) => idOf(step, "a"));
  expect(new Set(ids).size).toBe(ids.length);
  expect(stepsOf(plan).map((step) => idOf(step, "a"))).toEqual(ids);
  expect(idOf(stepsOf(plan)[0]!, "b")).not.toBe(ids[0]);
});

it("several machines have each step once, and each some of all lengths", () => {
  const steps = stepsOf(plan);
  const parts = ["1/3", "2/3", "3/3"].map((part) => steps.filter((_step, i) => readPart(part)!(i)));
  expect(new Set(parts.flat())).toEqual(new Set(steps));
  expect(parts.flat()).toHaveLength(steps.length);
  for (const own of parts) expect(new Set(own.map(({ length }) => length)).size).toBeGreaterThan(1);
  expect(steps.every((_step, i) => readPart("1/1")!(i))).toBe(true);
  for (const wrong of ["", "0/2", "3/2", "1", "1/0", "a/b"]) expect(readPart(wrong)).toBeNull();
});

it("reports what there is, with the commits that it comes from, and says what is missing", () => {
  const row = {
    ...{ kv: "k4v4", base: "f16", bitsPerValue: 5.25, kldMean: 0.001, kldMeanSe: 0.0001, kldP99: 0.01, kldP999: 0.05 },
    ...{ kldMax: 0.2, top1: 0.98, top1Low: 0.97, top1High: 0.99, pplRatio: 1.001, pplRatioSe: 0.0005, codesRead: 0.76 },
    tokens: 4096,
    tasks: [{ task: "counting", length: 1024, prompts: 3, right: 1, rightLow: 0.4, rightHigh: 1, rightBase: 1 }],
  } as unknown as EvalRow;
  const rows: EvidenceRow[] = [
    { id: "1", measurement: "divergence", length: 1024, commit: "abc", row },
    { id: "2", measurement: "tasks", length: 1024, commit: "def", row },
  ];
  const text = reportOf(rows, { ...HEAD, missing: 3 });
  expect(text).toContain("wasm, commit abc and def.");
  expect(text).toContain("**Not complete**: 3 measurements are missing");
  expect(text).toContain(
    "| `k4v4` | 5.25 | 0.00100 ± 0.000100 | 0.0100 | 0.0500 | 0.200 | 98.0 [97.0, 99.0] | 1.0010 ± 0.0005 | 76 % | 4096 |",
  );
  expect(text).toContain("| `f16` | – | – | – | 100 | – |\n| `k4v4` | – | – | – | 100 [40, 100] | – |");
  expect(reportOf(rows, { ...HEAD, missing: 0 })).not.toContain("Not complete");
});
