/**
 * @file Reading weights ahead of their use.
 *
 * CPUs read ahead by themselves inside a page of 4 KiB only, and start anew with each page. A kernel that computes while it reads
 * waits then, because what it has in flight is a few records. So it reads a word of every cache line of its next piece first, all
 * of which are on their way at once, and finds them in the cache when it gets there.
 */

/** Bytes of a piece: lines of which a core has about as many in flight as it can. */
const PIECE: usize = 640;
/** Bytes of four of the smallest cache lines. */
const LINES: usize = 256;

/** Records of a piece. */
// @ts-ignore: decorator
@inline export function pieceRecords(recordBytes: usize): usize {
  return PIECE / recordBytes;
}

/**
 * Reads the lines of [from, from + bytes), four at a time as long as all four are before `end`, which is 256 at least. sink: four
 * bytes of the thread for what was read, without which the compiler would leave it out
 */
// @ts-ignore: decorator
@inline export function touch(from: usize, bytes: usize, end: usize, sink: usize): void {
  const to = min(from + bytes, end - LINES);
  let sum = 0;
  for (; from < to; from += LINES) sum |= load<i32>(from) | load<i32>(from, 64) | load<i32>(from, 128) | load<i32>(from, 192);
  store<i32>(sink, sum);
}
