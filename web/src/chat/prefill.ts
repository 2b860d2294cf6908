/** @file How far a prompt has been read, and how long the rest takes. */

export interface Prefill {
  readonly done: number;
  readonly total: number;
  /** null: nobody knows yet, or the whole prompt takes so short that it need not be said. */
  readonly secondsLeft: number | null;
}

/** A wait that is longer than this in all has its end named. */
const LONG_MS = 5000;

/**
 * Seconds that the rest takes at the speed so far; null where that is not known, or where all of it takes at most five.
 *
 * done, total: tokens · since: time since the first report in ms, and the tokens that were read then
 */
export function secondsLeft(
  done: number,
  total: number,
  since: { readonly ms: number; readonly done: number },
): number | null {
  const read = done - since.done;
  if (!(read > 0) || !(since.ms > 0) || done >= total) return null;
  const leftMs = ((total - done) * since.ms) / read;
  return since.ms + leftMs > LONG_MS ? leftMs / 1000 : null;
}
