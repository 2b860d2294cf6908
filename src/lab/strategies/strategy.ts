/**
 * @file What a search strategy is: a function of the results so far.
 *
 * A strategy keeps no state. Asked again with the same results it gives the same trials, so a sweep that was killed goes on
 * where it was, and the trials do not depend on how many workers there were or which was faster.
 */
import type { Candidate } from "../candidates.ts";

export interface Trial {
  readonly candidate: Candidate;
  readonly chunks: number;
}

/** Score of a finished trial (smaller is better, Infinity: failed), or undefined. */
export type Scores = (trial: Trial) => number | undefined;

export interface Strategy {
  /** Most trials it can come to. */
  readonly limit: number;
  /** The trials decided by now, in order, finished ones included; no more than before when results are missing. */
  trials(scores: Scores): readonly Trial[];
}
