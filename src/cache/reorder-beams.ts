/** @file Rearranges beams after a step: parents are forked as often as needed, the others are given back. */
import type { Sequence } from "./sequence.ts";

/**
 * parents[i]: index of the sequence that new beam i continues.
 * returns: one sequence a parent, in order; the given sequences belong to the result or are released
 */
export function reorderBeams(sequences: readonly Sequence[], parents: readonly number[]): Sequence[] {
  const taken = new Set<number>();
  const result = parents.map((parent) => {
    const sequence = sequences[parent];
    if (!sequence) throw new RangeError(`reorder: beam ${parent} of ${sequences.length}`);
    if (taken.has(parent)) return sequence.fork();
    taken.add(parent);
    return sequence;
  });
  sequences.forEach((sequence, i) => {
    if (!taken.has(i)) sequence.release();
  });
  return result;
}
