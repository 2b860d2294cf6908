/** @file A figure of the report: a picture, what it shows, and the numbers below it. */

export interface Table {
  readonly columns: readonly string[];
  /** Texts, or numbers with the text they are shown as. */
  readonly rows: readonly (readonly Cell[])[];
}

export type Cell = string | { readonly value: number; readonly text: string };

export interface Figure {
  /** File name of the picture, without its ending. */
  readonly id: string;
  readonly title: string;
  /** What is seen, from how much, with which interval. */
  readonly caption: string;
  readonly svg: string;
  readonly table?: Table;
}
