/** @file Where pages live: the one contract between the cache and the memory of a backend. */

/** Handle of a page. Meaning is the backend's (a byte offset in WASM memory, an index, a slab slot); never 0. */
export type PageAddress = number;

export interface PageStorage {
  /**
   * A zeroed page. Pages of one `group` (a stream of a layer) are read together: a device keeps them in one buffer.
   * @throws TurboQuantError out_of_memory
   */
  allocate(numBytes: number, group: number): PageAddress;
  /**
   * Says that a group will hold so many pages when one sequence is as long as it may get: what is allocated at once, and how
   * far. Never a promise, and never a limit. Absent where pages cost nothing to add.
   */
  expect?(numBytes: number, group: number, pages: number): void;
  release(address: PageAddress, numBytes: number): void;
  copy(from: PageAddress, to: PageAddress, numBytes: number): void;
  /** A copy of the page's bytes. Asynchronous because a GPU has to map them. */
  read(address: PageAddress, numBytes: number): Promise<Uint8Array>;
  write(address: PageAddress, bytes: Uint8Array): void;
  /** Bytes this storage really holds for pages now, free lists and slabs included. */
  readonly numBytes: number;
}
