/**
 * @file Rearranges beams after a step: a parent is forked for each
 * further beam that continues it; parents nobody continues are released.
 */
import { TurboQuantError } from "../errors.ts";
import type { Sequence } from "./sequence.ts";

/**
 * parents[i]: index of the sequence that new beam i continues; there may be more or fewer parents than sequences
 * returns: one sequence for each parent, in order; the given sequences are part of the result or released
 * @throws TurboQuantError invalid_argument — a parent that does not exist; nothing has changed
 */
export function reorderBeams(sequences: readonly Sequence[], parents: readonly number[]): Sequence[] {
  const unknown = parents.find((parent) => !sequences[parent]);
  if (unknown !== undefined) {
    throw new TurboQuantError(
      "invalid_argument",
      `reorderBeams: expected parents from 0 to ${sequences.length - 1}, got ${unknown}`,
      { parent: unknown, numSequences: sequences.length },
    );
  }
  const taken = new Set<number>();
  const result = parents.map((parent) => {
    const sequence = sequences[parent]!;
    if (taken.has(parent)) return sequence.fork();
    taken.add(parent);
    return sequence;
  });
  sequences.forEach((sequence, i) => {
    if (!taken.has(i)) sequence.release();
  });
  return result;
}
