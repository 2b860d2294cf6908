/** @file Runs of columns of a row that have one factor each. */
import { assert } from "../errors.ts";

/** Columns of a row from the end of the run before to `end`, and their factor. */
export interface ColumnRun {
  readonly end: number;
  readonly factor: number;
}

/** The most runs that `Ops.scaleColumns` takes. */
export const MAX_RUNS = 8;

/** Runs of columns as kernels are told them: MAX_RUNS ends and factors, the last ones repeated. */
export function runLists(runs: readonly ColumnRun[]): { readonly ends: number[]; readonly factors: number[] } {
  assert(runs.length >= 1 && runs.length <= MAX_RUNS, `scaleColumns: ${runs.length} runs`);
  const all = Array.from({ length: MAX_RUNS }, (_, i) => runs[Math.min(i, runs.length - 1)]!);
  return { ends: all.map(({ end }) => end), factors: all.map(({ factor }) => factor) };
}
