/**
 * @file A fair queue: clients share the machine by the cost of their requests, so that one with many requests does not delay others.
 *
 * Start-time fair queueing (Goyal, Vin and Cheng, 1996): a request is tagged with the larger of the present virtual time and
 * the end of its client's previous request, and the smallest tag goes first.
 */

interface Waiting<T> {
  readonly item: T;
  readonly start: number;
  readonly order: number;
}

export class FairQueue<T> {
  #waiting: Waiting<T>[] = [];
  /** Virtual time at which each client's last request ends; only of clients that are ahead of the present virtual time. */
  readonly #ends = new Map<string, number>();
  #now = 0;
  #order = 0;

  get size(): number {
    return this.#waiting.length;
  }

  /** cost: the work of the request, such as its tokens; positive */
  push(item: T, client: string, cost: number): void {
    const start = Math.max(this.#now, this.#ends.get(client) ?? 0);
    this.#ends.set(client, start + cost);
    this.#waiting.push({ item, start, order: this.#order++ });
  }

  /** The next item, which stays in the queue. */
  peek(): T | undefined {
    return this.#first()?.item;
  }

  /** Removes the next item and returns it. */
  shift(): T | undefined {
    const first = this.#first();
    if (!first) return undefined;
    this.#now = Math.max(this.#now, first.start);
    this.#waiting.splice(this.#waiting.indexOf(first), 1);
    for (const [client, end] of this.#ends) if (end <= this.#now) this.#ends.delete(client);
    return first.item;
  }

  forEach(visit: (item: T) => void): void {
    for (const { item } of this.#waiting) visit(item);
  }

  /** Removes and returns the items for which `isGone` is true. */
  remove(isGone: (item: T) => boolean): T[] {
    const gone = this.#waiting.filter(({ item }) => isGone(item));
    if (gone.length > 0) this.#waiting = this.#waiting.filter(({ item }) => !isGone(item));
    return gone.map(({ item }) => item);
  }

  #first(): Waiting<T> | undefined {
    let best: Waiting<T> | undefined;
    for (const entry of this.#waiting) {
      if (!best || entry.start < best.start || (entry.start === best.start && entry.order < best.order)) best = entry;
    }
    return best;
  }
}
