/** @file How the delta rule is computed, and the bytes that it takes besides its inputs and states. */
import type { DeltaRule } from "../../state-ops.ts";

/** Rows that are computed together: chunks of a prompt. Spans of few rows go row by row. */
export const CHUNK_ROWS = 32;
export const FEW_ROWS = 8;

export type DeltaSizes = Pick<DeltaRule, "numHeads" | "keyDim" | "isByChannel">;

/** Vectors of four values that a row of a head has: two weights for each row of its chunk, four factors, and by channel three for each channel of keys. */
export const slotUnits = ({ keyDim, isByChannel }: DeltaSizes): number =>
  (2 * CHUNK_ROWS) / 4 + 1 + (isByChannel ? (3 * keyDim) / 4 : 0);

/** At least the chunks of a span: one more than whole ones for the page end at which a state is stored. */
export const mostChunks = (rows: number): number => Math.ceil(rows / CHUNK_ROWS) + 1;

/** Bytes of what the rows of a step's chunks have to do with each other. longest: rows of the longest span */
export function deltaBytes(of: DeltaSizes, rows: number, spans: number, longest: number): number {
  const { numHeads, keyDim, isByChannel } = of;
  const decays = isByChannel ? spans * mostChunks(longest) * numHeads * keyDim : 0;
  return 4 * (rows * numHeads * 4 * slotUnits(of) + decays);
}
