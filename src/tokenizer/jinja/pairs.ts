/** @file What dict() takes: a dict, or pairs. */
import type { Budget } from "./budget.ts";
import { fail } from "./template-error.ts";
import { dictKey, isDict, iterate, type Value } from "./values.ts";

export function asPairs(value: Value, budget: Budget): Iterable<readonly [Value, Value]> {
  if (isDict(value)) return value;
  return iterate(value, budget).map((pair) => {
    const both = iterate(pair, budget);
    if (both.length !== 2) fail(`dictionary update sequence element has length ${both.length}; 2 is required`);
    return [dictKey(both[0]), both[1]] as const;
  });
}
