/** @file Reference-counted pages under a byte budget. */
import { assert, TurboQuantError } from "../errors.ts";
import type { PageAddress, PageStorage } from "./page-storage.ts";

interface Page {
  readonly numBytes: number;
  references: number;
}

export class PagePool {
  readonly storage: PageStorage;
  /** The most bytes that pages of this pool may take; Infinity for no limit. */
  readonly budgetBytes: number;
  readonly #pages = new Map<PageAddress, Page>();
  #numBytes = 0;

  constructor(storage: PageStorage, budgetBytes: number = Number.POSITIVE_INFINITY) {
    if (!(budgetBytes > 0)) {
      throw new TurboQuantError(
        "invalid_argument",
        `KV byte budget: expected a positive number of bytes, got ${budgetBytes}; leave it out for no limit`,
        { budgetBytes },
      );
    }
    this.storage = storage;
    this.budgetBytes = budgetBytes;
  }

  /** Bytes of all pages in use; a shared page counts once. */
  get numBytes(): number {
    return this.#numBytes;
  }

  get numPages(): number {
    return this.#pages.size;
  }

  /** @throws TurboQuantError out_of_memory — the budget or the storage is exhausted; nothing changes */
  allocate(numBytes: number, group = 0): PageAddress {
    this.require(numBytes);
    const address = this.storage.allocate(numBytes, group);
    this.#pages.set(address, { numBytes, references: 1 });
    this.#numBytes += numBytes;
    return address;
  }

  /**
   * Checks that `numBytes` more fit the budget, so that a caller can fail before it has allocated half of its pages.
   * @throws TurboQuantError out_of_memory
   */
  require(numBytes: number): void {
    if (this.#numBytes + numBytes <= this.budgetBytes) return;
    throw new TurboQuantError(
      "out_of_memory",
      `KV cache: ${numBytes} more bytes do not fit the budget of ${this.budgetBytes} bytes (${this.#numBytes} in use); ` +
        "raise the budget (--kv-budget), shorten the context, or choose fewer bits",
      { requestedBytes: numBytes, budgetBytes: this.budgetBytes, usedBytes: this.#numBytes },
    );
  }

  retain(address: PageAddress): void {
    this.#page(address).references++;
  }

  release(address: PageAddress): void {
    const page = this.#page(address);
    if (--page.references > 0) return;
    this.#pages.delete(address);
    this.#numBytes -= page.numBytes;
    this.storage.release(address, page.numBytes);
  }

  isShared(address: PageAddress): boolean {
    return this.#page(address).references > 1;
  }

  #page(address: PageAddress): Page {
    const page = this.#pages.get(address);
    assert(page, `page ${address} is not allocated`);
    return page;
  }
}
