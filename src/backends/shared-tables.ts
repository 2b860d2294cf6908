/** @file Tables that several layers read, made once for each key and freed with the last layer that uses them. */

interface Shared<T> {
  readonly table: T;
  users: number;
}

export class SharedTables<T> {
  readonly #tables = new Map<string, Shared<T>>();
  readonly #free: (table: T) => void;

  /** free: called when a table's last user has given it back */
  constructor(free: (table: T) => void) {
    this.#free = free;
  }

  /** Each call is a use, to be given back. */
  take<U extends T>(key: string, make: () => U): U {
    let shared = this.#tables.get(key);
    if (!shared) {
      shared = { table: make(), users: 0 };
      this.#tables.set(key, shared);
    }
    shared.users++;
    return shared.table as U;
  }

  giveBack(key: string): void {
    const shared = this.#tables.get(key);
    if (!shared || --shared.users > 0) return;
    this.#tables.delete(key);
    this.#free(shared.table);
  }
}
