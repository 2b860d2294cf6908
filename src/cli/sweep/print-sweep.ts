/** @file Prints the end of a sweep: the formats of the Pareto front, failed runs, where the rows are. */
import { significant } from "../../format-number.ts";
import { nameOfRef } from "../../formats/model-name.ts";
import { isWithinLimits } from "../../lab/objective.ts";
import { paretoFront } from "../../lab/pareto.ts";
import { readsFewCodes } from "../../lab/report/recommendation.ts";
import { type DoneRow, isDone, latestRows, type SweepRow } from "../../lab/sweep-row.ts";
import { formatPercent, markdownTable } from "../format.ts";
import type { QueryResult } from "./query-results.ts";

const left = (title: string) => ({ title, align: "left" as const });
const right = (title: string) => ({ title, align: "right" as const });

/** For every model and context, the formats that no other one beats in bits and KLD, the smallest first. */
export function frontsOf(rows: readonly SweepRow[]): DoneRow[] {
  const groups = new Map<string, DoneRow[]>();
  for (const row of latestRows(rows).filter(isDone)) {
    const key = JSON.stringify([row.model, row.ctx, row.chunks]);
    groups.set(key, [...(groups.get(key) ?? []), row]);
  }
  return [...groups.values()].flatMap((own) =>
    paretoFront(
      own,
      (row) => row.bitsPerValue,
      (row) => row.kldMean,
    ),
  );
}

/** The best run by the objective, of those that read enough codes to be judged; null when none is within the limits. */
export function bestOf(rows: readonly SweepRow[]): DoneRow | null {
  const done = latestRows(rows)
    .filter(isDone)
    .filter((row) => isWithinLimits(row.score) && !readsFewCodes(row));
  return done.reduce<DoneRow | null>((a, b) => (a && a.score <= b.score ? a : b), null);
}

/** width: characters of a line */
export function frontTable(rows: readonly DoneRow[], best: DoneRow | null, width: number): string {
  const columns = [left("model"), right("ctx"), left("kv"), right("bits/value"), right("KLD mean"), right("p99")];
  return markdownTable(
    [...columns, right("top-1"), right("PPL ratio"), right("rate"), left("")],
    rows.map((row) => [
      nameOfRef(row.model),
      `${row.ctx}`,
      row.kv,
      row.bitsPerValue.toFixed(2),
      significant(row.kldMean),
      significant(row.kldP99),
      formatPercent(row.top1),
      `${row.pplRatio.toFixed(4)} ± ${row.pplRatioSe.toFixed(4)}`,
      row.rate.toFixed(2),
      row.id === best?.id ? "best" : readsFewCodes(row) ? "few codes" : "",
    ]),
    width,
  );
}

/** width: characters of a line */
export function queryTable({ columns, rows }: QueryResult, width: number): string {
  const cell = (value: unknown): string => (value === null || value === undefined ? "" : String(value));
  const isNumber = (i: number): boolean => rows.length > 0 && rows.every((row) => typeof row[i] === "number");
  return markdownTable(
    columns.map((title, i) => (isNumber(i) ? right(title) : left(title))),
    rows.map((row) => row.map(cell)),
    width,
  );
}
