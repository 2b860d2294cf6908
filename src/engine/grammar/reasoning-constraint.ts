/** @file Lets a model think before it is bound, and for as many tokens as it may. */
import type { TokenConstraint } from "../token-constraint.ts";

export interface ReasoningOptions {
  /** The token that begins a thought, and the one that ends it. */
  readonly open: number;
  readonly close: number;
  /** Whether the prompt ends inside of a thought. */
  readonly isInside: boolean;
  /** The most tokens of a thought; 0 for none at all. */
  readonly budget?: number;
  /** What the answer behind the thought is bound to. */
  readonly answer?: TokenConstraint;
  /** Tokens that end an answer: not within a thought where the answer is bound, which would be missing. */
  readonly ends?: Iterable<number>;
}

export class ReasoningConstraint implements TokenConstraint {
  readonly #options: ReasoningOptions;
  #state: "start" | "inside" | "after";
  #left: number;

  constructor(options: ReasoningOptions) {
    this.#options = options;
    this.#state = options.isInside ? "inside" : "start";
    this.#left = options.budget ?? Number.POSITIVE_INFINITY;
  }

  mask(logits: Float32Array): void {
    const { open, close, answer, ends = [] } = this.#options;
    if (this.#state === "inside") {
      if (this.#left > 0) {
        if (answer) for (const token of ends) if (token < logits.length) logits[token] = Number.NEGATIVE_INFINITY;
        return;
      }
      logits.fill(Number.NEGATIVE_INFINITY);
      logits[close] = 0;
      return;
    }
    // An answer may begin with a thought, or at once with what it is bound to.
    const begin = logits[open]!;
    answer?.mask(logits);
    if (this.#state === "start") logits[open] = this.#left > 0 ? begin : Number.NEGATIVE_INFINITY;
  }

  advance(token: number): void {
    const { open, close, answer } = this.#options;
    if (this.#state === "inside") {
      this.#left--;
      if (token === close) this.#state = "after";
      return;
    }
    if (this.#state === "start" && token === open) {
      this.#state = "inside";
      return;
    }
    this.#state = "after";
    answer?.advance(token);
  }

  fork(): ReasoningConstraint {
    const { answer } = this.#options;
    const copy = new ReasoningConstraint({ ...this.#options, ...(answer && { answer: answer.fork() }) });
    copy.#state = this.#state;
    copy.#left = this.#left;
    return copy;
  }

  release(): void {
    this.#options.answer?.release?.();
  }
}
