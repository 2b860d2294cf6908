/**
 * @file The ropes of a step: those that its layers refer to by index, and of sequences of different lengths each row's own.
 *
 * Most ropes are the same at every length. Dynamic NTK and LongRoPE depend on that of the sequence, and on nothing else: neither on
 * what ran before nor on the sequences beside it. All tokens of a prompt have the rope of its whole length, in however many chunks it is
 * read. A token behind it has that of the length it makes, and what is in the cache stays as it is.
 */
import type { Rope, Span, Step } from "../backends/ops.ts";
import { type RopeConfig, type RopeUpTo, ropeFor, ropeLength } from "./rope.ts";

interface LayerRope {
  readonly config: RopeConfig;
  readonly headDim: number;
  /** The one that was made last. */
  made: RopeUpTo;
}

export class StepRopes {
  readonly #ropes: LayerRope[] = [];
  /** Those of any step, as long as none of them depends on lengths. */
  #all: readonly Rope[] = [];
  #depends = false;

  /** Index of the rope with these parameters; layers with equal parameters share one. */
  indexOf(config: RopeConfig, headDim: number): number {
    const known = this.#ropes.findIndex((rope) => rope.config === config && rope.headDim === headDim);
    if (known >= 0) return known;
    this.#ropes.push({ config, headDim, made: ropeFor({ headDim, rope: config }, 0) });
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
    return this.#ropes.reduce((longest, { config }) => Math.max(longest, ropeLength(config, length)), 0);
  }
}

/** The length whose rope the i-th token of a span has. */
function lengthOf({ start, count, knownLength = start + count }: Span, i: number): number {
  return Math.max(knownLength, start + i + 1);
}

function ropeAt(rope: LayerRope, length: number): Rope {
  const { config, headDim, made } = rope;
  if (length <= made.beyond || length > made.upTo) rope.made = ropeFor({ headDim, rope: config }, length);
  return rope.made.rope;
}
