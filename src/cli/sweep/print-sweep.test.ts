/** @file What the end of a sweep calls the best. */
import { expect, it } from "vitest";
import type { DoneRow } from "../../lab/sweep-row.ts";
import { bestOf, frontTable } from "./print-sweep.ts";

const run = (kv: string, score: number, more: object = {}) =>
  ({
    ...{ id: kv, status: "done", model: "m", ctx: 128, kv, score, bitsPerValue: 4, kldMean: 0.01, kldP99: 0.1 },
    ...{ top1: 0.9, pplRatio: 1, pplRatioSe: 0.01, rate: 1 },
    ...more,
  }) as unknown as DoneRow;

it("a run that hardly read a code is not the best, and is marked; one from before that was known may be", () => {
  const rows = [
    run("k2v2", 1, { codesRead: 0.01 }),
    run("k3v3", 2, { codesRead: 0.9 }),
    run("f16", 3, { codesRead: null }),
  ];
  expect(bestOf(rows)!.kv).toBe("k3v3");
  expect(bestOf(rows.slice(0, 1))).toBeNull();
  expect(bestOf([run("k4v4", 1)])!.kv).toBe("k4v4");
  const table = frontTable(rows, bestOf(rows), 200);
  expect(table).toMatch(/\| k2v2 .*\| few codes \|\n/);
  expect(table).toMatch(/\| k3v3 .*\| best +\|\n/);
});
