/** @file The rows that a step adds to a state whose rows stand for several tokens each. */
import type { Span, Step } from "./ops.ts";

/** Rows that are whole after so many tokens. */
export const rowsAt = (length: number, tokensPerRow: number): number => Math.floor(length / tokensPerRow);

/** Number of rows that a step adds: those whose last token is one of its own. */
export function numRowsOf({ spans }: Pick<Step, "spans">, tokensPerRow: number): number {
  let sum = 0;
  for (const { start, count } of spans) sum += rowsAt(start + count, tokensPerRow) - rowsAt(start, tokensPerRow);
  return sum;
}

/** The spans of a step in rows: `start` and `count` are rows of the state, `row` counts the rows that the step adds. */
export function rowSpans(spans: readonly Span[], tokensPerRow: number): readonly Span[] {
  if (tokensPerRow === 1) return spans;
  let row = 0;
  return spans.map(({ sequence, start: from, count: tokens }) => {
    const start = rowsAt(from, tokensPerRow);
    const count = rowsAt(from + tokens, tokensPerRow) - start;
    row += count;
    return { sequence, start, count, row: row - count };
  });
}
