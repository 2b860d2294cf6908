/** @file Sizes of buffers: whole units, room for pages to come, room for block tables that grow, what waits to be freed. */

/** Freed memory that may wait for the next submit; beyond this, a submit is made to free it. Plans count it. */
export const MAX_RETIRED_BYTES = 4 << 20;

/** Bytes of a storage buffer that has to hold `numBytes`: whole units of 16 bytes, at least one. */
export const bufferBytes = (numBytes: number): number => Math.max(16, Math.ceil(numBytes / 16) * 16);

/** Words to reserve for a block table, so that it can grow before it has to move. length: its entries */
export const tableRoom = (length: number): number => Math.max(16, 2 ** Math.ceil(Math.log2(length + 1)));

/** When a large buffer is full it grows by this share of its pages, a compromise between idle memory and frequent copies. */
const GROWTH = 1 / 16;
/** A small buffer doubles. At least this many bytes are added, and as many are allocated at first if so many are expected. */
const STEP_BYTES = 1 << 20;
const MIN_PAGES = 4;

const stepPages = (pageBytes: number): number => Math.floor(STEP_BYTES / pageBytes);

/** Pages that a new buffer has room for. expected: see `PageStorage.expect` */
export const firstCapacity = (pageBytes: number, expected: number): number =>
  Math.max(MIN_PAGES, Math.min(expected, stepPages(pageBytes)));

/** Pages of the buffer that replaces a full one: at most the expected number, until that is reached. */
export function grown(capacity: number, pageBytes: number, expected: number): number {
  const more = Math.max(MIN_PAGES, Math.ceil(capacity * GROWTH), Math.min(capacity, stepPages(pageBytes)));
  return capacity < expected ? Math.min(capacity + more, expected) : capacity + more;
}

/** Pages that a group's buffer has room for when it holds `pages`. expected: see `PageStorage.expect` */
export function slabCapacity(pages: number, pageBytes: number, expected: number): number {
  let capacity = firstCapacity(pageBytes, expected);
  while (capacity < pages) capacity = grown(capacity, pageBytes, expected);
  return capacity;
}
