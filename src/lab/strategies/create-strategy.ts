/** @file Creates the strategy that a space asks for. */
import type { Candidate } from "../candidates.ts";
import type { SearchSpace } from "../space-schema.ts";
import { gridSearch } from "./grid.ts";
import { successiveHalving } from "./halving.ts";
import { randomSearch } from "./random.ts";
import type { Strategy } from "./strategy.ts";
import { treeParzen } from "./tpe.ts";

/** candidates: all that the space allows */
export function createStrategy(space: SearchSpace, candidates: readonly Candidate[]): Strategy {
  const { strategy, chunks, seed } = space;
  const runs = space.budget.runs ?? Number.POSITIVE_INFINITY;
  switch (strategy.kind) {
    case "grid":
      return gridSearch(candidates, chunks, runs);
    case "random":
      return randomSearch(candidates, chunks, runs, seed);
    case "tpe":
      return treeParzen(candidates, { ...strategy, chunks, runs, seed });
    case "halving":
      return successiveHalving(candidates, { ...strategy, chunks, runs, seed });
  }
}
