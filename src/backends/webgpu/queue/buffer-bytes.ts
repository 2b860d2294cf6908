/** @file What buffers take: whole units, room for pages to come, room for block tables that grow. */

/** What a storage buffer of `numBytes` takes: whole units of 16 bytes, at least one. */
export const bufferBytes = (numBytes: number): number => Math.max(16, Math.ceil(numBytes / 16) * 16);

/** Room for a block table, in words, and for what it grows by before it has to move. length: its entries */
export const tableRoom = (length: number): number => Math.max(16, 2 ** Math.ceil(Math.log2(length + 1)));

/** A large full buffer grows by this share of its pages: what may lie idle against how often it is copied. */
const GROWTH = 1 / 16;
/** A small one doubles: up to so many bytes are added however few there are, and allocated at once where they are expected. */
const STEP_BYTES = 1 << 20;
const MIN_PAGES = 4;

const stepPages = (pageBytes: number): number => Math.floor(STEP_BYTES / pageBytes);

/** Pages that a buffer has room for at first. expected: see `PageStorage.expect` */
export const firstCapacity = (pageBytes: number, expected: number): number =>
  Math.max(MIN_PAGES, Math.min(expected, stepPages(pageBytes)));

/** Pages of the buffer that takes a full one's place: no more than are expected, as long as that is not reached. */
export function grown(capacity: number, pageBytes: number, expected: number): number {
  const more = Math.max(MIN_PAGES, Math.ceil(capacity * GROWTH), Math.min(capacity, stepPages(pageBytes)));
  return capacity < expected ? Math.min(capacity + more, expected) : capacity + more;
}

/** Pages that the buffer of a group has room for once it holds `pages` of them. expected: see `PageStorage.expect` */
export function slabCapacity(pages: number, pageBytes: number, expected: number): number {
  let capacity = firstCapacity(pageBytes, expected);
  while (capacity < pages) capacity = grown(capacity, pageBytes, expected);
  return capacity;
}
