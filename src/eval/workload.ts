/** @file One measure of progress for all parts of an evaluation: token passes, so that the time left can be told from those done. */
import type { OnProgress } from "../platform.ts";
import type { TimeLimit } from "./time-limit.ts";

export class Workload {
  readonly #onProgress: OnProgress | undefined;
  readonly #limit: TimeLimit;
  readonly #sizes: readonly number[];
  #part = -1;

  /** sizes: about how many token passes each part takes, in their order */
  constructor(sizes: readonly number[], limit: TimeLimit, onProgress?: OnProgress) {
    this.#sizes = sizes;
    this.#limit = limit;
    this.#onProgress = onProgress;
  }

  /** Begins the next part, and returns what reports the share of it that is done. item: what it is, for people */
  next(): (share: number, item: string) => void {
    this.#part++;
    const sum = (sizes: readonly number[]): number => sizes.reduce((total, size) => total + size, 0);
    const [before, own, all] = [sum(this.#sizes.slice(0, this.#part)), this.#sizes[this.#part]!, sum(this.#sizes)];
    return (share, item) => {
      const { msLeft } = this.#limit;
      this.#onProgress?.({
        phase: "eval",
        item,
        done: Math.round(before + share * own),
        total: all,
        unit: "tokens",
        ...(Number.isFinite(msLeft) && { secondsLeft: Math.max(0, msLeft / 1000) }),
      });
    };
  }
}
