/**
 * @file Reading weights ahead of their use.
 *
 * CPUs read ahead by themselves inside a page of 4 KiB only, and start anew with each page. A kernel that computes while it reads
 * waits then, because what it has in flight is a few records. So it reads a word of every cache line of its next piece first, all
 * of which are on their way at once, and finds them in the cache when it gets there. When it comes to a new page, it reads the
 * first lines of the page after it as well: its address is translated, and the processor's own reading ahead has begun, by then.
 */
import { READS_AHEAD, W } from "../generated/linear-params";

/** Bytes of a piece: what a core has in flight at once, and computes with while the next ones come. */
export const PIECE: usize = 1152;
/** The same of weights that take long to compute with for each byte, and of which no page is read ahead. */
export const SHORT_PIECE: usize = 640;
/** Bytes of four of the smallest cache lines. */
const LINES: usize = 256;
/** Bytes of a page of memory, and of what is read of the next one with the first piece of a page. */
const PAGE: usize = 4096;
const PAGE_AHEAD: usize = 1024;

/** A matrix of fewer bytes is not read ahead: it takes too little time to matter, and may be in a cache where it is read several times. */
const FEW_BYTES: usize = 512 * 1024;

/**
 * Records of a piece of at most so many bytes, when panels have `records`: the pieces of a panel are equally long but for the last. All of them when
 * nothing is read ahead. Found once for all panels, since a division takes as long as several records. end: as of `touchEnd`
 */
// @ts-ignore: decorator
@inline export function pieceRecords(recordBytes: usize, piece: usize, records: usize, end: usize): usize {
  if (end == 0) return records;
  const most = piece / recordBytes;
  const pieces = (records + most - 1) / most;
  return (records + pieces - 1) / pieces;
}

/**
 * Where weights of so many bytes end, or 0 if they are not read ahead: if they are few, or a small model's, whose weights stay in the processor's
 * caches from token to token, where reading them twice takes longer than it saves. params: of `linear`
 */
// @ts-ignore: decorator
@inline export function touchEnd(params: usize, bytes: usize): usize {
  return bytes < FEW_BYTES || load<u32>(params, READS_AHEAD) == 0 ? 0 : load<usize>(params, W) + bytes;
}

/** Reads the lines of [from, to), four at a time. returns: what has to be used, without which the compiler would leave it out */
// @ts-ignore: decorator
@inline function readLines(from: usize, to: usize): i32 {
  let sum = 0;
  for (; from < to; from += LINES) sum |= load<i32>(from) | load<i32>(from, 64) | load<i32>(from, 128) | load<i32>(from, 192);
  return sum;
}

/**
 * Reads the lines of [from, from + bytes) as long as four are before `end`, which is 256 at least, and the first ones of the next
 * page when a page begins and `isPaged`; nothing if `end` is 0. sink: four bytes of the thread for what was read
 */
// @ts-ignore: decorator
@inline export function touch(from: usize, bytes: usize, end: usize, sink: usize, isPaged: bool = true): void {
  if (end == 0) return;
  const last = end - LINES;
  let sum = readLines(from, min(from + bytes, last));
  if (isPaged && (from & (PAGE - 1)) < bytes) {
    const next = (from & ~(PAGE - 1)) + PAGE;
    sum |= readLines(next, min(next + PAGE_AHEAD, last));
  }
  store<i32>(sink, sum);
}
