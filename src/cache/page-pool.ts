/** @file Reference-counted pages under a byte budget, which pools of several storages may share. */
import { assert, TurboQuantError } from "../errors.ts";
import type { PageAddress, PageStorage } from "./page-storage.ts";

interface Page {
  readonly numBytes: number;
  references: number;
}

/** What the pages of all pools under one budget come to. */
interface Account {
  readonly budgetBytes: number;
  numBytes: number;
  numPages: number;
}

export class PagePool {
  readonly storage: PageStorage;
  readonly #pages = new Map<PageAddress, Page>();
  #account: Account;

  constructor(storage: PageStorage, budgetBytes: number = Number.POSITIVE_INFINITY) {
    if (!(budgetBytes > 0)) {
      throw new TurboQuantError(
        "invalid_argument",
        `KV byte budget: expected a positive number of bytes, got ${budgetBytes}; leave it out for no limit`,
        { budgetBytes },
      );
    }
    this.storage = storage;
    this.#account = { budgetBytes, numBytes: 0, numPages: 0 };
  }

  /** A pool of pages in another storage. Its budget is that of this pool, and whatever one of them counts is what both have together. */
  beside(storage: PageStorage): PagePool {
    const pool = new PagePool(storage);
    pool.#account = this.#account;
    return pool;
  }

  /** The most bytes that pages may take; Infinity for no limit. */
  get budgetBytes(): number {
    return this.#account.budgetBytes;
  }

  /** Bytes of all pages in use; a shared page counts once. */
  get numBytes(): number {
    return this.#account.numBytes;
  }

  get numPages(): number {
    return this.#account.numPages;
  }

  /** @throws TurboQuantError out_of_memory — the budget or the storage is exhausted; nothing changes */
  allocate(numBytes: number, group = 0): PageAddress {
    this.require(numBytes);
    const address = this.storage.allocate(numBytes, group);
    this.#pages.set(address, { numBytes, references: 1 });
    this.#account.numBytes += numBytes;
    this.#account.numPages++;
    return address;
  }

  /**
   * Checks that `numBytes` more fit the budget, so that a caller can fail before it has allocated half of its pages.
   * @throws TurboQuantError out_of_memory
   */
  require(numBytes: number): void {
    const { budgetBytes, numBytes: usedBytes } = this;
    if (usedBytes + numBytes <= budgetBytes) return;
    throw new TurboQuantError(
      "out_of_memory",
      `KV cache: ${numBytes} more bytes do not fit the budget of ${budgetBytes} bytes (${usedBytes} in use); ` +
        "raise the budget (--kv-budget), shorten the context, or choose fewer bits",
      { requestedBytes: numBytes, budgetBytes, usedBytes },
    );
  }

  /**
   * A page that takes the place of a larger one, which is released. Both are there while `fill` runs. The budget is not asked: there are fewer bytes
   * in the end, or, where others share the old page, when all of them have been given the new one.
   * @throws TurboQuantError out_of_memory — the storage is exhausted; nothing changes
   */
  replace(old: PageAddress, numBytes: number, group: number, fill: (to: PageAddress) => void): PageAddress {
    const address = this.storage.allocate(numBytes, group);
    try {
      fill(address);
    } catch (error) {
      this.storage.release(address, numBytes);
      throw error;
    }
    this.#pages.set(address, { numBytes, references: 1 });
    this.#account.numBytes += numBytes;
    this.#account.numPages++;
    this.release(old);
    return address;
  }

  retain(address: PageAddress): void {
    this.#page(address).references++;
  }

  release(address: PageAddress): void {
    const page = this.#page(address);
    if (--page.references > 0) return;
    this.#pages.delete(address);
    this.#account.numBytes -= page.numBytes;
    this.#account.numPages--;
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
