/** @file A figure of the report: a picture, its caption, and a table with its numbers. */

export interface Table {
  readonly columns: readonly string[];
  /** Cells are texts, or numbers with the text that is shown. */
  readonly rows: readonly (readonly Cell[])[];
}

export type Cell = string | { readonly value: number; readonly text: string };

export interface Figure {
  /** File name of the picture, without extension. */
  readonly id: string;
  readonly title: string;
  /** Says what the picture shows, from how much data, and with which interval. */
  readonly caption: string;
  readonly svg: string;
  readonly table?: Table;
}
