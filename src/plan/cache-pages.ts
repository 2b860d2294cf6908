/**
 * @file Pages that the cache of one sequence has, in closed form: what `Sequence` allocates, without allocating it.
 * The test beside this file fills real sequences and compares, page by page.
 */
import type { LayerCache } from "../cache/kv-cache.ts";

/** How many pages of each stream a sequence has. */
export interface PageCounts {
  readonly main: number;
  readonly exact: number;
}

/** Pages after `tokens` have been committed. */
export function pagesAtRest(layer: LayerCache, tokens: number): PageCounts {
  return { main: mainPages(layer, tokens), exact: layer.exact ? exactPages(layer, tokens, tokens) : 0 };
}

/**
 * Most pages of each stream during a prefill of `tokens` in steps of `chunkTokens`: the window moves on at the end of a
 * step, so the 16-bit copies of a whole step lie beside those of the window before it. A storage keeps what it once gave out.
 */
export function pagesHeld(layer: LayerCache, tokens: number, chunkTokens: number): PageCounts {
  const fullSteps = Math.floor(tokens / chunkTokens);
  const ends = [[fullSteps * chunkTokens, tokens]];
  if (fullSteps > 0) ends.push([(fullSteps - 1) * chunkTokens, fullSteps * chunkTokens]);
  const exact = layer.exact ? ends.map(([from, to]) => exactPages(layer, from!, to!)) : [0];
  return { main: mainPages(layer, tokens), exact: Math.max(...exact) };
}

/** Bytes of these pages. */
export function bytesOf({ main, exact }: LayerCache, counts: PageCounts): number {
  return counts.main * main.numBytes + counts.exact * (exact?.numBytes ?? 0);
}

const mainPages = ({ main }: LayerCache, tokens: number): number => Math.ceil(tokens / main.pageTokens);

/** Pages of the 16-bit stream with `reserved` positions made present, of which `committed` are part of the sequence. */
function exactPages({ format, exact }: LayerCache, committed: number, reserved: number): number {
  const { pageTokens } = exact!;
  const { sinks, window } = format;
  const sinkPages = Math.ceil(sinks / pageTokens);
  const present = Math.ceil(reserved / pageTokens);
  if (window === 0) return Math.min(present, sinkPages);
  // The next query reads copies from committed − window + 1 on; whole pages before that are dropped, sinks aside.
  const keepFrom = Math.floor(Math.max(0, committed - window + 1) / pageTokens);
  return present - Math.max(0, Math.min(keepFrom, present) - sinkPages);
}
