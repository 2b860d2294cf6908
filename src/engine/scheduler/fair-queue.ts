/**
 * @file Who comes next: clients share the machine by cost, whoever asks more often waits longer.
 *
 * Start-time fair queueing (Goyal, Vin and Cheng, 1996): a request is tagged with the larger of the present virtual time
 * and the end of its client's previous request, and the smallest tag goes first.
 */

interface Waiting<T> {
  readonly item: T;
  readonly start: number;
  readonly order: number;
}

export class FairQueue<T> {
  #waiting: Waiting<T>[] = [];
  /** Where each client's last request ends; only of clients that are ahead of the virtual time. */
  readonly #ends = new Map<string, number>();
  #now = 0;
  #order = 0;

  get size(): number {
    return this.#waiting.length;
  }

  /** cost: work of the request, such as its tokens; positive */
  push(item: T, client: string, cost: number): void {
    const start = Math.max(this.#now, this.#ends.get(client) ?? 0);
    this.#ends.set(client, start + cost);
    this.#waiting.push({ item, start, order: this.#order++ });
  }

  /** The next one, which stays in the queue. */
  peek(): T | undefined {
    return this.#first()?.item;
  }

  /** Takes the next one out. */
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

  /** Removes those that no longer want to wait; returns them. */
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
