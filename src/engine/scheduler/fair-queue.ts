/**
 * @file A fair queue: clients share the machine by the cost of their requests, so that one with many requests does not delay others.
 *
 * Start-time fair queueing (Goyal, Vin and Cheng, 1996): a request is tagged with the larger of the virtual time at which it came and
 * the end of its client's previous request, and the smallest tag goes first. Requests that leave before their turn cost their client nothing.
 */

interface Waiting<T> {
  readonly item: T;
  readonly cost: number;
  /** The virtual time at which it came. */
  readonly since: number;
  readonly order: number;
}

interface Head<T> {
  readonly client: string;
  readonly next: Waiting<T>;
  /** Its tag. */
  readonly start: number;
}

interface Client<T> {
  waiting: Waiting<T>[];
  /** Virtual time at which the last of its requests that left the queue in its turn ends. */
  end: number;
}

/** Clients without waiting requests that are remembered; without keys they are addresses, of which there are many. */
const MAX_IDLE_CLIENTS = 1000;

export class FairQueue<T> {
  /** Those that were served last come last. */
  readonly #clients = new Map<string, Client<T>>();
  #now = 0;
  #order = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Number of clients that are remembered. */
  get numClients(): number {
    return this.#clients.size;
  }

  /** cost: the work of the request, such as its tokens; positive */
  push(item: T, client: string, cost: number): void {
    const own = this.#clients.get(client) ?? { waiting: [], end: 0 };
    this.#clients.set(client, own);
    own.waiting.push({ item, cost, since: this.#now, order: this.#order++ });
    this.#size++;
  }

  /** The next item, which stays in the queue. */
  peek(): T | undefined {
    return this.#first()?.next.item;
  }

  /** Removes the next item and returns it. */
  shift(): T | undefined {
    const first = this.#first();
    if (!first) return undefined;
    const { client, next, start } = first;
    const own = this.#clients.get(client)!;
    own.waiting.shift();
    own.end = start + next.cost;
    this.#now = Math.max(this.#now, start);
    this.#size--;
    this.#clients.delete(client);
    this.#clients.set(client, own);
    this.#forgetIdle();
    return next.item;
  }

  forEach(visit: (item: T) => void): void {
    for (const { waiting } of this.#clients.values()) for (const { item } of waiting) visit(item);
  }

  /** Removes and returns the items for which `isGone` is true. */
  remove(isGone: (item: T) => boolean): T[] {
    const gone: T[] = [];
    for (const own of this.#clients.values()) {
      const left: Waiting<T>[] = [];
      for (const each of own.waiting) {
        if (isGone(each.item)) gone.push(each.item);
        else left.push(each);
      }
      own.waiting = left;
    }
    this.#size -= gone.length;
    this.#forgetIdle();
    return gone;
  }

  /** Forgets what clients have had, when nobody is served and nobody waits: the next one finds all equal. */
  reset(): void {
    if (this.#size > 0) return;
    this.#clients.clear();
    this.#now = 0;
  }

  #first(): Head<T> | undefined {
    let best: Head<T> | undefined;
    for (const [client, { waiting, end }] of this.#clients) {
      const next = waiting[0];
      if (!next) continue;
      const start = Math.max(next.since, end);
      if (!best || start < best.start || (start === best.start && next.order < best.next.order)) {
        best = { client, next, start };
      }
    }
    return best;
  }

  /** Forgets clients that are not ahead of the present virtual time, and of too many others those that were served first. */
  #forgetIdle(): void {
    let numIdle = 0;
    for (const [client, { waiting, end }] of this.#clients) {
      if (waiting.length > 0) continue;
      if (end <= this.#now) this.#clients.delete(client);
      else numIdle++;
    }
    for (const [client, { waiting }] of this.#clients) {
      if (numIdle <= MAX_IDLE_CLIENTS) return;
      if (waiting.length > 0) continue;
      this.#clients.delete(client);
      numIdle--;
    }
  }
}
