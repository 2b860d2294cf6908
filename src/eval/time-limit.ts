/** @file When an evaluation ends before everything that was asked for is known: a time budget, and a user who has seen enough. */

/** Evaluations ask between steps, and end with the figures that they have. */
export interface TimeLimit {
  /** Whether to end now. */
  readonly isOver: boolean;
  /** Milliseconds until it ends by itself; Infinity without a budget. */
  readonly msLeft: number;
  /** Whether it was ended by hand (`end`). */
  readonly isEnded: boolean;
  /** Tells whoever may end it that there are figures now to end with. */
  known(): void;
}

/** A limit for a whole run. */
export class RunLimit implements TimeLimit {
  readonly #until: number;
  #isEnded = false;
  #isKnown = false;

  /** ms: from now on; Infinity for no budget */
  constructor(ms: number = Number.POSITIVE_INFINITY) {
    this.#until = performance.now() + ms;
  }

  get isOver(): boolean {
    return this.#isEnded || this.msLeft <= 0;
  }

  get msLeft(): number {
    return this.#until - performance.now();
  }

  get isEnded(): boolean {
    return this.#isEnded;
  }

  /** Whether there are figures that an end would leave. */
  get hasFigures(): boolean {
    return this.#isKnown;
  }

  known(): void {
    this.#isKnown = true;
  }

  end(): void {
    this.#isEnded = true;
  }
}

/** For evaluations that nobody limits. */
export const NO_LIMIT: TimeLimit = new RunLimit();

/**
 * The limit of the next of `parts` parts of a run that share what time is left, so that none of them gets nothing; what it leaves is for
 * the others.
 */
export function partOf(whole: TimeLimit, parts: number): TimeLimit {
  const until = performance.now() + whole.msLeft / parts;
  return {
    get isOver() {
      return whole.isOver || performance.now() >= until;
    },
    get msLeft() {
      return Math.min(whole.msLeft, until - performance.now());
    },
    get isEnded() {
      return whole.isEnded;
    },
    known: () => whole.known(),
  };
}

/** The same limit so many milliseconds earlier, for what has to leave time for something else. */
export function earlier(whole: TimeLimit, ms: number): TimeLimit {
  return {
    get isOver() {
      return whole.isOver || whole.msLeft <= ms;
    },
    get msLeft() {
      return whole.msLeft - ms;
    },
    get isEnded() {
      return whole.isEnded;
    },
    known: () => whole.known(),
  };
}
