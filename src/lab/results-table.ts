/** @file The rows of a sweep as a flat table (results.tsv), with one column for each figure and each parameter. */
import type { SweepRow } from "./sweep-row.ts";

/** The first columns. Then come the parameters of the space, each as `p_NAME`, and all others as they appear. */
const FIRST =
  "id status part model kv ctx chunks bitsPerValue kldMean kldMedian kldP99 kldP999 kldMax top1 ppl pplBase pplRatio pplRatioSe needle needleBase score rate".split(
    " ",
  );

export type FlatRow = Readonly<Record<string, string | number | boolean | null>>;

/** Parameters become columns; other nested values are left out, since the JSON lines have them. */
export function flatRow(row: SweepRow): FlatRow {
  const flat: Record<string, string | number | boolean | null> = {};
  for (const [name, value] of Object.entries(row)) {
    if (name === "parameters") continue;
    if (value === null || typeof value !== "object") flat[name] = value;
  }
  for (const [name, value] of Object.entries(row.parameters)) flat[`p_${name}`] = value;
  return flat;
}

/** Tab-separated text with a header line. Tabs and line ends inside a value become spaces; null and absent values are empty. */
export function resultsTsv(rows: readonly SweepRow[]): string {
  const flat = rows.map(flatRow);
  const names = new Set(flat.flatMap((row) => Object.keys(row)));
  const parameters = [...names].filter((name) => name.startsWith("p_")).sort();
  const columns = [...new Set([...FIRST.filter((name) => names.has(name)), ...parameters, ...names])];
  const cell = (value: FlatRow[string] | undefined): string =>
    value === undefined || value === null ? "" : String(value).replace(/[\t\r\n]+/g, " ");
  return [columns, ...flat.map((row) => columns.map((name) => cell(row[name])))]
    .map((cells) => `${cells.join("\t")}\n`)
    .join("");
}
