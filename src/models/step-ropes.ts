/**
 * @file The ropes of a step: those that its layers refer to by index, and of sequences of different lengths each row's own.
 *
 * Most ropes are the same at every length. Dynamic NTK and LongRoPE depend on that of the sequence, and on nothing else: neither on
 * what ran before nor on the sequences beside it. All tokens of a prompt have the rope of its whole length, in however many chunks it is
 * read. A token behind it has that of the length it makes, and what is in the cache stays as it is.
 */
import type { Rope, Span, Step } from "../backends/ops.ts";
import { type HeadRope, type RopeConfig, type RopeUpTo, ropeFor, ropeLength } from "./rope.ts";

interface LayerRope {
  readonly of: HeadRope;
  /** The one that was made last. */
  made: RopeUpTo;
}

export class StepRopes {
  readonly #ropes: LayerRope[] = [];
  /** Those of any step, as long as none of them depends on lengths. */
  #all: readonly Rope[] = [];
  #depends = false;

  /** Index of the rope with these parameters; layers with equal parameters share one. storedDim: as in `HeadRope` */
  indexOf(rope: RopeConfig, headDim: number, storedDim = headDim): number {
    const known = this.#ropes.findIndex(
      ({ of }) => of.rope === rope && of.headDim === headDim && of.storedDim === storedDim,
    );
    if (known >= 0) return known;
    const of = { rope, headDim, storedDim };
    this.#ropes.push({ of, made: ropeFor(of, 0) });
    this.#depends ||= this.#ropes.at(-1)!.made.upTo !== Infinity;
    this.#all = this.#ropes.map(({ made }) => made.rope);
    return this.#ropes.length - 1;
  }

  /** Those of a step, by index. */
  of(step: Step): readonly Rope[] {
    if (!this.#depends) return this.#all;
    return this.#ropes.map((rope) => {
      const first = ropeAt(rope, lengthOf(step.spans[0]!, 0));
      const ofRows: Rope[] = [];
      let differs = false;
      for (const span of step.spans) {
        for (let i = 0; i < span.count; i++) {
          ofRows[span.row + i] = ropeAt(rope, lengthOf(span, i));
          differs ||= ofRows[span.row + i] !== first;
        }
      }
      return differs ? { ...first, ofRows } : first;
    });
  }

  /** The shortest length that has the same ropes as this one; 0 where they do not depend on it. */
  lengthOf(length: number): number {
    if (!this.#depends) return 0;
    return this.#ropes.reduce((longest, { of }) => Math.max(longest, ropeLength(of.rope, length)), 0);
  }
}

/** The length whose rope the i-th token of a span has. */
function lengthOf({ start, count, knownLength = start + count }: Span, i: number): number {
  return Math.max(knownLength, start + i + 1);
}

function ropeAt(rope: LayerRope, length: number): Rope {
  const { of, made } = rope;
  if (length <= made.beyond || length > made.upTo) rope.made = ropeFor(of, length);
  return rope.made.rope;
}
