/** @file Requests that have not begun: those that wait for a prefix from the shared store, and those that wait for their turn. */
import { TurboQuantError } from "../../errors.ts";
import { FairQueue } from "./fair-queue.ts";
import type { Request } from "./request.ts";

export class WaitingRequests {
  readonly #most: number;
  readonly #queue = new FairQueue<Request>();
  /** They queue when their prefix has come, or is known not to come. */
  readonly #fetching = new Set<Request>();

  /** most: requests that may wait at a time */
  constructor(most: number) {
    this.#most = most;
  }

  /** All that have not begun. */
  get size(): number {
    return this.#queue.size + this.#fetching.size;
  }

  /** Those whose turn may come now. */
  get numQueued(): number {
    return this.#queue.size;
  }

  get isFetching(): boolean {
    return this.#fetching.size > 0;
  }

  /** @throws TurboQuantError unavailable — no more may wait */
  checkRoom(): void {
    if (this.size < this.#most) return;
    throw new TurboQuantError("unavailable", `busy: ${this.#most} requests are waiting; try again later`, {
      reason: "queue",
    });
  }

  /** fetching: resolves when the request may queue; null when it may do so now · onQueued: called when it has */
  add(request: Request, fetching: Promise<void> | null, onQueued: () => void): void {
    const queue = (): void => {
      const { ids, maxNewTokens, choices, options } = request;
      this.#fetching.delete(request);
      this.#queue.push(request, options.client ?? "", ids.length + maxNewTokens * choices.length);
      onQueued();
    };
    if (fetching) {
      this.#fetching.add(request);
      void fetching.then(queue);
    } else queue();
  }

  /** The next request in its turn, which stays. */
  peek(): Request | undefined {
    return this.#queue.peek();
  }

  /** Removes the next request and returns it. */
  shift(): Request | undefined {
    return this.#queue.shift();
  }

  cancelAll(): void {
    const cancel = (request: Request): void => {
      request.isCancelled = true;
    };
    this.#fetching.forEach(cancel);
    this.#queue.forEach(cancel);
  }

  /** Removes and returns cancelled requests, but those that wait for a prefix, which are found once they queue. */
  removeCancelled(): Request[] {
    return this.#queue.remove(({ isCancelled }) => isCancelled);
  }

  /** Called when nobody is served any more: what clients have had is forgotten, if nobody waits either. */
  reset(): void {
    this.#queue.reset();
  }
}
