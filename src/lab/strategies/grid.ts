/** @file Grid search: all combinations in order. */
import type { Candidate } from "../candidates.ts";
import type { Strategy } from "./strategy.ts";

/** runs: the most runs */
export function gridSearch(candidates: readonly Candidate[], chunks: number, runs: number): Strategy {
  const trials = candidates.slice(0, runs).map((candidate) => ({ candidate, chunks }));
  return { limit: trials.length, trials: () => trials };
}
