/** @file Columns of a comparison as data: tokens as they arrive, and the first that differs from the first column's. */
import type { CompareEvent, CompareResult } from "../engine/protocol.ts";

export interface Token {
  readonly id: number;
  readonly text: string;
}

export interface Column {
  readonly kv: string;
  readonly tokens: readonly Token[];
  readonly prefill: number;
  readonly result: CompareResult | null;
}

export const emptyColumn = (kv: string): Column => ({ kv, tokens: [], prefill: 0, result: null });

function changed(column: Column, event: CompareEvent): Column {
  if (event.type === "prefill") return { ...column, prefill: event.done / event.total };
  if (event.type === "token") {
    return { ...column, tokens: [...column.tokens, { id: event.token, text: event.text }] };
  }
  return { ...column, result: event.result };
}

export function withEvent(columns: readonly Column[], event: CompareEvent): Column[] {
  return columns.map((column, index) => (index === event.column ? changed(column, event) : column));
}

/**
 * Index of the first token that differs from the reference's, as far as both have come. Once the shorter one has ended, its end
 * counts as a difference. null while they agree.
 */
export function firstDifference(reference: Column, column: Column): number | null {
  const [a, b] = [reference.tokens, column.tokens];
  const common = Math.min(a.length, b.length);
  for (let i = 0; i < common; i++) if (a[i]!.id !== b[i]!.id) return i;
  const shorter = a.length < b.length ? reference : column;
  return a.length !== b.length && shorter.result ? common : null;
}

/** The text in three parts: equal tokens, the token that differs, the rest. */
export function partsOf({ tokens }: Column, difference: number | null): readonly [string, string, string] {
  const text = (from: number, to?: number): string =>
    tokens
      .slice(from, to)
      .map((token) => token.text)
      .join("");
  if (difference === null) return [text(0), "", ""];
  return [text(0, difference), text(difference, difference + 1), text(difference + 1)];
}
