/** @file Formats a markdown table whose first column is text and whose other columns are figures. */
import { markdownTable } from "../../src/cli/format.ts";

export function figures(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const columns = titles.map((title, i) => ({ title, align: i === 0 ? ("left" as const) : ("right" as const) }));
  return markdownTable(columns, rows);
}
