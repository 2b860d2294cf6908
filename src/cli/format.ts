/** @file Formats shares, comparisons and tables for people; plain numbers are in src/format-number.ts. */

/** `2.62x smaller` or `1.10x larger` than `reference`. */
export function comparedSize(bytes: number, reference: number): string {
  const ratio = reference / bytes;
  return ratio >= 1 ? `${ratio.toFixed(2)}x smaller` : `${(1 / ratio).toFixed(2)}x larger`;
}

export const formatPercent = (share: number, digits = 1): string => `${(share * 100).toFixed(digits)} %`;

/** A rate with its 95 % interval: `98.5 % [97.9, 98.9]`. */
export const formatRate = (share: number, low: number, high: number, digits = 1): string =>
  `${formatPercent(share, digits)} [${(low * 100).toFixed(digits)}, ${(high * 100).toFixed(digits)}]`;

export type Align = "left" | "right";

export interface Column {
  readonly title: string;
  readonly align: Align;
}

const pad = (text: string, width: number, align: Align): string =>
  align === "left" ? text.padEnd(width) : text.padStart(width);

/** Characters that a table may have in a line: those of a terminal; a file or another program takes any. */
export const tableWidth = (out: { readonly isTTY: boolean; readonly columns: number }): number =>
  out.isTTY ? out.columns : Number.POSITIVE_INFINITY;

/**
 * A table in GitHub's markdown, padded so that it is readable as text. Where `width` is too narrow for it, rows become columns, side by side
 * as many as fit.
 */
export function markdownTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width = Number.POSITIVE_INFINITY,
): string {
  const widths = columns.map(({ title }, i) => Math.max(3, title.length, ...rows.map((row) => row[i]!.length)));
  if (widths.reduce((sum, each) => sum + each + 3, 1) > width) return turnedTable(columns, rows, width);
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => pad(cell, widths[i]!, columns[i]!.align)).join(" | ")} |\n`;
  const rule = columns.map(({ align }, i) =>
    align === "left" ? "-".repeat(widths[i]!) : `${"-".repeat(widths[i]! - 1)}:`,
  );
  return line(columns.map(({ title }) => title)) + line(rule) + rows.map(line).join("");
}

/** Columns two spaces apart, without rules and without trailing spaces. */
export function plainTable(rows: readonly (readonly string[])[], aligns: readonly Align[]): string {
  const widths = aligns.map((_, i) => Math.max(0, ...rows.map((row) => row[i]?.length ?? 0)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, i) => pad(cell, widths[i]!, aligns[i]!))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

/** `plainTable` of rows below a row of titles; where `width` is too narrow for it, as `markdownTable`. */
export function titledTable(
  rows: readonly (readonly string[])[],
  aligns: readonly Align[],
  width = Number.POSITIVE_INFINITY,
): string {
  const text = plainTable(rows, aligns);
  if (Math.max(...text.split("\n").map((line) => line.length)) <= width) return text;
  const [titles, ...body] = rows as [readonly string[], ...string[][]];
  const columns = titles.map((title) => ({ title: title.trim(), align: "left" as const }));
  return turnedTable(columns, body, width);
}

/** The titles on the left and a column for each row, in several tables where the rows do not fit beside each other. */
function turnedTable(columns: readonly Column[], rows: readonly (readonly string[])[], width: number): string {
  const titles = columns.map(({ title }) => title);
  const titleWidth = Math.max(...titles.map((title) => title.length));
  const tables: string[] = [];
  for (let first = 0; first < rows.length; ) {
    let used = titleWidth;
    let next = first;
    while (next < rows.length) {
      used += 2 + Math.max(...rows[next]!.map((cell) => cell.length));
      if (used > width && next > first) break;
      next++;
    }
    const shown = rows.slice(first, next);
    const lines = titles.map((title, i) => [title, ...shown.map((row) => row[i]!)]);
    tables.push(plainTable(lines, ["left", ...shown.map((): Align => "right")]));
    first = next;
  }
  return tables.join("\n");
}
