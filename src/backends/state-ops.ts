/** @file Where operations on states of fixed size find their numbers. */

/** Where a block keeps numbers in the state that it has in each sequence. */
export interface StatePart {
  /** Index of the state among the sequence's states of fixed size (`Sequence.recurrent`). */
  readonly index: number;
  /** Where the part begins in the state's page, in bytes; a multiple of 16. */
  readonly offset: number;
}

/** The part of a row of a buffer that an operation reads: `first` is its first column, and rows have `stride` values. */
export interface Columns {
  readonly first: number;
  readonly stride: number;
}

/** The longest kernel of a causal convolution, as published models have up to seven. */
export const MAX_KERNEL = 8;

/** Bytes of a convolution's part of a state. */
export const convolutionBytes = (channels: number, kernel: number): number => 4 * channels * (kernel - 1);

/** The longest heads of a delta rule. */
export const MAX_DELTA_DIM = 256;
/** What is added to the squared length of queries and keys before they are divided by it. */
export const DELTA_EPS = 1e-6;

/** Factors of a row's values: one for each `repeat` values that are beside each other. */
export interface Gates extends Columns {
  readonly repeat: number;
  /** `none`: factors as they are. */
  readonly activation: "sigmoid" | "silu" | "none";
}

/** Bytes of a scan's part of a state. */
export const scanBytes = (of: {
  readonly numHeads: number;
  readonly headDim: number;
  readonly stateSize: number;
}): number => 4 * of.numHeads * of.headDim * of.stateSize;

/** The largest limit of step sizes that kernels are told: Infinity is no number for all of them. */
export const MAX_STEP = 3e38;
