/** @file What backends are told of sums of residual streams. */

/** The most streams of a row that `Ops.mixStreams` takes. */
export const MAX_STREAMS = 8;

/** Streams [first, first + count) of rows that have `of` ones, one behind the other. */
export interface StreamRange {
  readonly first: number;
  readonly count: number;
  readonly of: number;
}

/** Sums of the streams `from`, each with coefficients of its own, one for each of the streams `to`. */
export interface StreamMix {
  readonly from: StreamRange;
  readonly to: StreamRange;
  /** The coefficients in their rows: from.count ones for each stream of `to`. Not read where all are 1. */
  readonly first: number;
  readonly stride: number;
  /** Factor of all sums. */
  readonly factor: number;
  /** Whether they are added to what is in `to`. */
  readonly add: boolean;
}
