/** @file The rows of a sweep as a flat table (results.tsv): one column a figure, one a parameter. */
import type { SweepRow } from "./sweep-row.ts";

/** In this order; parameters of the space follow, each as `p_NAME`, and what is left in the order of appearance. */
const FIRST =
  "id status part model kv ctx chunks bitsPerValue kldMean kldMedian kldP99 kldP999 kldMax top1 ppl pplBase pplRatio pplRatioSe needle needleBase score rate".split(
    " ",
  );

export type FlatRow = Readonly<Record<string, string | number | boolean | null>>;

/** Nested parameters become columns of their own; other nested values are left to the JSON lines. */
export function flatRow(row: SweepRow): FlatRow {
  const flat: Record<string, string | number | boolean | null> = {};
  for (const [name, value] of Object.entries(row)) {
    if (name === "parameters") continue;
    if (value === null || typeof value !== "object") flat[name] = value;
  }
  for (const [name, value] of Object.entries(row.parameters)) flat[`p_${name}`] = value;
  return flat;
}

/** Tab-separated, a header line first. Tabs and line ends inside a value become blanks; null and absent are empty. */
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
