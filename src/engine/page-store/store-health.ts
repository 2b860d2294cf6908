/** @file Leaves a store that fails alone for a while, so that requests do not wait for it one after the other. */

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

export class StoreHealth {
  readonly #now: () => number;
  readonly #onNote: (message: string) => void;
  #pauseMs = 0;
  #until = Number.NEGATIVE_INFINITY;

  /** now: in milliseconds · onNote: told when the store begins to fail and when it works again */
  constructor(onNote: (message: string) => void = () => {}, now: () => number = () => performance.now()) {
    this.#onNote = onNote;
    this.#now = now;
  }

  /** Whether the store is to be asked. */
  get isUp(): boolean {
    return this.#now() >= this.#until;
  }

  onSuccess(): void {
    if (this.#pauseMs > 0) this.#onNote("answers again");
    this.#pauseMs = 0;
    this.#until = Number.NEGATIVE_INFINITY;
  }

  onFault(error: unknown): void {
    // Faults of what was asked before the pause began say nothing new.
    if (!this.isUp) return;
    if (this.#pauseMs === 0) {
      const text = error instanceof Error ? error.message : String(error);
      this.#onNote(`fails (${text.split("\n")[0]!.slice(0, 200)}); requests go on without it`);
    }
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2 || FIRST_PAUSE_MS);
    this.#until = this.#now() + this.#pauseMs;
  }
}
