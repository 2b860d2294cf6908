/**
 * @file Page addresses of one stream (main pages, or those of sinks and window) of one layer.
 * Entry p belongs to positions from p · pageTokens on; 0 means no page.
 */
import type { PageAddress } from "./page-storage.ts";

export class BlockTable {
  #entries = new Uint32Array(8);
  #length = 0;
  /** Grows with every change, so that a device knows when it has to upload the table again. */
  version = 0;

  get length(): number {
    return this.#length;
  }

  get(index: number): PageAddress {
    return index < this.#length ? (this.#entries[index] as number) : 0;
  }

  set(index: number, address: PageAddress): void {
    if (index >= this.#entries.length) {
      const grown = new Uint32Array(Math.max(index + 1, this.#entries.length * 2));
      grown.set(this.#entries);
      this.#entries = grown;
    }
    this.#entries[index] = address;
    if (index >= this.#length) this.#length = index + 1;
    this.version++;
  }

  /** Drops the entries from index `length` on. */
  truncate(length: number): void {
    if (length >= this.#length) return;
    this.#entries.fill(0, length, this.#length);
    this.#length = length;
    this.version++;
  }

  /** View of the entries in use; valid until the next change of the table. */
  entries(): Uint32Array {
    return this.#entries.subarray(0, this.#length);
  }

  clone(): BlockTable {
    const copy = new BlockTable();
    copy.#entries = this.#entries.slice();
    copy.#length = this.#length;
    return copy;
  }
}
