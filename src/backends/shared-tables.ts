/** @file Tables shared by layers: made once for each key, and freed with the last layer that uses them. */

interface Shared<T> {
  readonly table: T;
  users: number;
}

export class SharedTables<T> {
  readonly #tables = new Map<string, Shared<T>>();
  readonly #free: (table: T) => void;

  /** free: called when the last user of a table has released it */
  constructor(free: (table: T) => void) {
    this.#free = free;
  }

  /** Returns the table and counts one more user, who has to release it. */
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
