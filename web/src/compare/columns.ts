/** @file Columns of a comparison as data: tokens as they arrive, and the first that differs from the first column's. */
import type { CompareEvent, CompareResult, LikelyToken } from "../engine/protocol.ts";

export interface Token {
  readonly id: number;
  readonly text: string;
  readonly likely: readonly LikelyToken[];
}

export interface Answer {
  readonly text: string;
  readonly isFound: boolean;
}

export interface Column {
  readonly kv: string;
  readonly tokens: readonly Token[];
  /** To the questions, in their order. */
  readonly answers: readonly Answer[];
  readonly prefill: number;
  /** Over the first column's text; null before it is known. */
  readonly agreement: { readonly agreed: number; readonly total: number } | null;
  readonly result: CompareResult | null;
  /** Whether it was stopped before its end. */
  readonly isStopped: boolean;
}

export const emptyColumn = (kv: string): Column => ({
  kv,
  tokens: [],
  answers: [],
  prefill: 0,
  agreement: null,
  result: null,
  isStopped: false,
});

function changed(column: Column, event: CompareEvent): Column {
  switch (event.type) {
    case "prefill":
      return { ...column, prefill: event.done / event.total };
    case "token":
      return { ...column, tokens: [...column.tokens, { id: event.token, text: event.text, likely: event.likely }] };
    case "recall":
      return { ...column, answers: [...column.answers, { text: event.text, isFound: event.isFound }] };
    case "agreement":
      return { ...column, agreement: { agreed: event.agreed, total: event.total } };
    case "done":
      return { ...column, result: event.result };
  }
}

export function withEvent(columns: readonly Column[], event: CompareEvent): Column[] {
  return columns.map((column, index) => (index === event.column ? changed(column, event) : column));
}

/** After an error or a stop nothing more comes. */
export const stopped = (columns: readonly Column[]): Column[] =>
  columns.map((column) => (column.result ? column : { ...column, isStopped: true }));

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

/** Where two columns part: what each gave to the token of the reference and to the other one, from 0 to 1. */
export interface Fork {
  readonly mine: string;
  readonly other: string;
  /** By the reference: of its own token, and of the other. */
  readonly reference: readonly [mine: number, other: number];
  /** The same by the column that differs. */
  readonly column: readonly [mine: number, other: number];
  /** Whether the reference itself was undecided. */
  readonly isNearTie: boolean;
}

/** Two tokens this close are as good as one another. */
const NEAR_TIE = 0.1;

/** null where one of them had ended. */
export function forkOf(reference: Column, column: Column, difference: number): Fork | null {
  const [a, b] = [reference.tokens[difference], column.tokens[difference]];
  if (!a || !b) return null;
  const of = ({ likely }: Token, id: number): number => likely.find(({ token }) => token === id)?.probability ?? 0;
  const byReference = [of(a, a.id), of(a, b.id)] as const;
  return {
    mine: a.text,
    other: b.text,
    reference: byReference,
    column: [of(b, a.id), of(b, b.id)],
    isNearTie: byReference[0] - byReference[1] < NEAR_TIE,
  };
}
