/** @file Section of the benchmarks on recall by length and depth, of a model as it was trained and stretched by YaRN. */
import type { NeedleCell } from "../../src/eval/needle-grid.ts";
import { num, type Row, rows, table } from "./rows.ts";

/** One line for each stretch, length and cache: right answers of each depth. The exact cache has a line of its own. */
export function farSection(): string {
  const all = rows("far");
  if (all.length === 0) return "Not recorded.";
  const cells = all.flatMap((row) => cellsOf(row).map((cell) => ({ row, cell, stretch: stretchOf(row) })));
  const depths = [...new Set(cells.map(({ cell }) => cell.depth))];
  const body: string[][] = [];
  for (const stretch of new Set(cells.map((c) => c.stretch))) {
    const ofStretch = cells.filter((c) => c.stretch === stretch);
    const lengths = [...new Set(ofStretch.map(({ cell }) => cell.length))].sort((a, b) => a - b);
    for (const length of lengths) {
      const ofLength = ofStretch.filter(({ cell }) => cell.length === length);
      const { row: first, cell } = ofLength[0]!;
      const line = (cache: unknown, row: Row, recall: (cell: NeedleCell) => number): string[] => {
        const own = depths.map((depth) => ofLength.find((c) => c.row === row && c.cell.depth === depth)?.cell);
        const right = own.map((c) => (c ? String(Math.round(recall(c) * c.prompts)) : "–"));
        return [stretch, length.toLocaleString("en-US"), String(cache), String(cell.prompts), ...right];
      };
      body.push(line(first["base"], first, (c) => c.recallBase));
      for (const row of new Set(ofLength.map((c) => c.row))) body.push(line(row["kv"], row, (c) => c.recall));
    }
  }
  const heads = depths.map((depth) => `right at ${Math.round(100 * depth)} %`);
  return table(["stretch", "tokens", "cache", "prompts", ...heads], body);
}

const cellsOf = (row: Row): NeedleCell[] => row["needleGrid"] as unknown as NeedleCell[];

function stretchOf(row: Row): string {
  const rope = row["rope"] as unknown as Row | undefined;
  return rope ? `${String(rope["type"])} × ${num(rope, "factor")}` : "none";
}
