/** @file The contract between the cache and the memory of a backend: allocating, copying, reading and writing pages. */

/** Handle of a page, never 0. Its meaning is the backend's own: a byte offset in WASM memory, an index, a slot of a buffer. */
export type PageAddress = number;

export interface PageStorage {
  /**
   * A zeroed page. Pages of one `group` (one stream of one layer) are read together, so a device keeps them in one buffer.
   * @throws TurboQuantError out_of_memory
   */
  allocate(numBytes: number, group: number): PageAddress;
  /**
   * Announces how many pages a group will hold when one sequence is as long as it may get, so that the storage can allocate them at
   * once and choose the step by which it grows. It neither promises nor limits anything. Absent where adding a page costs nothing.
   */
  expect?(numBytes: number, group: number, pages: number): void;
  /**
   * Announces that a group is about to get so many more pages, so that a storage whose buffers grow does so once instead of step
   * by step. It promises nothing, and fails at nothing: pages that find no room are refused when they are allocated.
   */
  makeRoom?(numBytes: number, group: number, pages: number): void;
  release(address: PageAddress, numBytes: number): void;
  copy(from: PageAddress, to: PageAddress, numBytes: number): void;
  /** A copy of the page's bytes. Asynchronous because a GPU has to map them. */
  read(address: PageAddress, numBytes: number): Promise<Uint8Array>;
  write(address: PageAddress, bytes: Uint8Array): void;
  /** Bytes this storage holds for pages now, free lists and unused slots included. */
  readonly numBytes: number;
}
