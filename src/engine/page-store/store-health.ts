/** @file Leaves a store that fails alone for a while, so that requests do not wait for it one after the other. */

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 30_000;

export interface StoreHealthOptions {
  /** In milliseconds. */
  readonly now?: (() => number) | undefined;
  /** Told when the store begins to fail and when it works again. */
  readonly onNote?: ((message: string) => void) | undefined;
  /** Called when it works again; it may have lost what it had. */
  readonly onBack?: () => void;
}

export class StoreHealth {
  readonly #options: StoreHealthOptions;
  #pauseMs = 0;
  #until = Number.NEGATIVE_INFINITY;

  constructor(options: StoreHealthOptions = {}) {
    this.#options = options;
  }

  #now(): number {
    return this.#options.now?.() ?? performance.now();
  }

  /** Whether the store is to be asked. */
  get isUp(): boolean {
    return this.#now() >= this.#until;
  }

  onSuccess(): void {
    if (this.#pauseMs === 0) return;
    this.#options.onNote?.("answers again");
    this.#options.onBack?.();
    this.#pauseMs = 0;
    this.#until = Number.NEGATIVE_INFINITY;
  }

  onFault(error: unknown): void {
    // Faults of what was asked before the pause began say nothing new.
    if (!this.isUp) return;
    if (this.#pauseMs === 0) {
      const text = error instanceof Error ? error.message : String(error);
      this.#options.onNote?.(`fails (${text.split("\n")[0]!.slice(0, 200)}); requests go on without it`);
    }
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2 || FIRST_PAUSE_MS);
    this.#until = this.#now() + this.#pauseMs;
  }
}
