/** @file Reads rows for a report from stores of sweeps and from JSON lines, such as those of `eval --out`. */
import { readFileSync, statSync } from "node:fs";
import { TurboQuantError } from "../../errors.ts";
import { type ReportRow, reportRow } from "../../lab/report/report-row.ts";
import { isDone, latestRows } from "../../lab/sweep-row.ts";
import { readStore } from "../sweep/sweep-store.ts";

/**
 * paths: directories of sweeps and .jsonl files
 * @throws TurboQuantError — a path that is neither, or a damaged line
 */
export function readReportRows(paths: readonly string[]): ReportRow[] {
  return paths.flatMap((path) => {
    const info = statSync(path, { throwIfNoEntry: false });
    if (!info) {
      throw new TurboQuantError(
        "invalid_argument",
        `report: ${path} does not exist; name stores of turboquant sweep or files of turboquant eval --out`,
        { path },
      );
    }
    return info.isDirectory() ? storeRows(path) : fileRows(path);
  });
}

function storeRows(directory: string): ReportRow[] {
  return latestRows(readStore(directory).rows)
    .filter(isDone)
    .map((row) => reportRow(row, `${directory}, run ${row.id}`));
}

function fileRows(path: string): ReportRow[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .flatMap((line, i) => {
      if (line.trim() === "") return [];
      const where = `${path}, line ${i + 1}`;
      let value: unknown;
      try {
        value = JSON.parse(line);
      } catch (cause) {
        throw new TurboQuantError(
          "invalid_file",
          `${where}: expected a JSON line, got text that does not parse; name files of turboquant eval --out`,
          { path },
          { cause },
        );
      }
      return [reportRow(value, where)];
    });
}
