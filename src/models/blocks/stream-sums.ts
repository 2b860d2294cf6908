/** @file Sums of residual streams as blocks say them. */
import type { StreamMix } from "../../backends/ops.ts";
import type { StreamRange } from "../../backends/stream-mix.ts";

/** A row by itself. */
export const ROW: StreamRange = { first: 0, count: 1, of: 1 };
export const one = (first: number, of: number): StreamRange => ({ first, count: 1, of });
export const all = (of: number): StreamRange => ({ first: 0, count: of, of });

/** Sums without coefficients. */
export const plain = (from: StreamRange, to: StreamRange, others: Partial<StreamMix> = {}): StreamMix => ({
  ...{ from, to, first: 0, stride: 0, factor: 1, add: false },
  ...others,
});
