/** @file The records of rows, spans and states in the buffer `step` (step-buffer.ts). */
import { Struct } from "../../parameters/struct.ts";

const row = new Struct({ token: "u32", position: "u32", span: "u32", _aligned: { numBytes: 4 } });
/**
 * Of a span in a layer, or in a coarser tier of it, with its first position and the one behind its last. Tables are words of the step; the residual
 * window's has so many entries. `coarserPages` first pages are in a coarser tier before the step, and `ownPages` in this one or a coarser one.
 */
const spanRecord = new Struct({
  table: "u32",
  residualTable: "u32",
  residualStart: "u32",
  residualEntries: "u32",
  start: "u32",
  end: "u32",
  coarserPages: "u32",
  ownPages: "u32",
});
/**
 * Of a span in a state of fixed size. Pages are slots: `before` one more than the slot, 0 for zeros. The states after `firstEnd` and
 * after `secondEnd` rows are written; 0 rows for none.
 */
const stateRecord = new Struct({
  row: "u32",
  count: "u32",
  before: "u32",
  firstEnd: "u32",
  first: "u32",
  secondEnd: "u32",
  second: "u32",
  _aligned: { numBytes: 4 },
});
/** Words of each record, by name. */
export const ROW = row.words;
export const SPAN = spanRecord.words;
export const STATE = stateRecord.words;

/** Words in a row, and in a span of a layer. */
export const ROW_WORDS = row.numBytes / 4;
export const SPAN_WORDS = spanRecord.numBytes / 4;
export const STATE_WORDS = stateRecord.numBytes / 4;

/** By these names kernels find the words of a row and of a span. */
export const STEP_VALUES = {
  ROW_WORDS,
  ROW_POSITION: ROW.position,
  ROW_SPAN: ROW.span,
  SPAN_WORDS,
  SPAN_TABLE: SPAN.table,
  SPAN_RESIDUAL_TABLE: SPAN.residualTable,
  SPAN_RESIDUAL_START: SPAN.residualStart,
  SPAN_RESIDUAL_ENTRIES: SPAN.residualEntries,
  SPAN_START: SPAN.start,
  SPAN_END: SPAN.end,
  SPAN_COARSER_PAGES: SPAN.coarserPages,
  SPAN_OWN_PAGES: SPAN.ownPages,
} as const;

/** By these names kernels find the words of a span's states; those of a row are among `STEP_VALUES`. */
export const STATE_VALUES = {
  ROW_WORDS,
  ROW_SPAN: ROW.span,
  STATE_WORDS,
  STATE_ROW: STATE.row,
  STATE_COUNT: STATE.count,
  STATE_BEFORE: STATE.before,
  STATE_FIRST_END: STATE.firstEnd,
  STATE_FIRST: STATE.first,
  STATE_SECOND_END: STATE.secondEnd,
  STATE_SECOND: STATE.second,
} as const;
