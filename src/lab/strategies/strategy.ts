/**
 * @file The interface of a search strategy, which is a function of the results so far.
 *
 * A strategy keeps no state: for the same results it gives the same trials. So a sweep that was killed can continue, and the
 * trials do not depend on the number or speed of the workers.
 */
import type { Candidate } from "../candidates.ts";

export interface Trial {
  readonly candidate: Candidate;
  readonly chunks: number;
}

/** The score of a finished trial (smaller is better, Infinity when it failed); undefined for an unfinished one. */
export type Scores = (trial: Trial) => number | undefined;

export interface Strategy {
  /** The most trials it can propose. */
  readonly limit: number;
  /** All trials decided so far, in order, finished ones included. Without new results the list does not grow. */
  trials(scores: Scores): readonly Trial[];
}
