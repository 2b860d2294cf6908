/** @file Pages in plain ArrayBuffers: the storage of the reference backend. */
import { assert } from "../errors.ts";
import type { PageAddress, PageStorage } from "./page-storage.ts";

export class MemoryPageStorage implements PageStorage {
  readonly #pages = new Map<PageAddress, Uint8Array>();
  #next = 1;
  #numBytes = 0;

  get numBytes(): number {
    return this.#numBytes;
  }

  allocate(numBytes: number): PageAddress {
    const address = this.#next++;
    this.#pages.set(address, new Uint8Array(numBytes));
    this.#numBytes += numBytes;
    return address;
  }

  release(address: PageAddress, numBytes: number): void {
    const page = this.bytes(address);
    assert(page.length === numBytes, `page ${address}: released as ${numBytes} bytes, has ${page.length}`);
    this.#pages.delete(address);
    this.#numBytes -= numBytes;
  }

  copy(from: PageAddress, to: PageAddress, numBytes: number): void {
    this.bytes(to).set(this.bytes(from).subarray(0, numBytes));
  }

  async read(address: PageAddress, numBytes: number): Promise<Uint8Array> {
    return this.bytes(address).slice(0, numBytes);
  }

  write(address: PageAddress, bytes: Uint8Array): void {
    this.bytes(address).set(bytes);
  }

  /** The page itself, not a copy of it. */
  bytes(address: PageAddress): Uint8Array {
    const page = this.#pages.get(address);
    assert(page, `page ${address} is not allocated`);
    return page;
  }
}
