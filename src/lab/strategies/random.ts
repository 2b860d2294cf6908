/** @file Random search: combinations drawn without replacement (Bergstra and Bengio, JMLR 2012). */
import type { Candidate } from "../candidates.ts";
import { Draws } from "./draws.ts";
import { gridSearch } from "./grid.ts";
import type { Strategy } from "./strategy.ts";

/** runs: the most runs */
export function randomSearch(candidates: readonly Candidate[], chunks: number, runs: number, seed: number): Strategy {
  return gridSearch(new Draws(seed).shuffled(candidates), chunks, runs);
}
