/** @file What backends are told of sums of residual streams. */
import type { Weight } from "./buffers.ts";

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

/** How alike the streams of two rows are. */
export interface StreamMatch {
  readonly streams: number;
  /** Factor of the products' sums, and the least that a root is taken of. */
  readonly scale: number;
  readonly floor: number;
}

/**
 * Factors of n streams (manifold-constrained hyper-connections, arXiv 2512.24880): of sums that a branch reads, σ(scale₀ · x + bias) + epsilon; of its
 * result, 2σ(scale₁ · x + bias); and of sums that the streams become, an n × n matrix: the softmax of scale₂ · x + bias over each row, plus epsilon, whose
 * columns and rows are then divided by their sums plus epsilon in turn, columns first and last.
 *
 * Rows are n factors of what is read, n of the result, and the matrix, row by row. Afterwards the matrix has the factors of each stream that comes out, one
 * behind the other, as `StreamMix` takes them. Without the last two a row is n factors of what is read.
 */
export interface StreamFactors {
  readonly streams: number;
  /** f32 [3], or [1]. */
  readonly scale: Weight;
  /** f32 [n · (2 + n)], or [n]. */
  readonly bias: Weight;
  readonly epsilon: number;
  /** How often columns are divided by their sums. */
  readonly iterations: number;
}
