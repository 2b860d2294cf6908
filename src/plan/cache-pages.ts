/**
 * @file Pages that the cache of one sequence has, in closed form: what `Sequence` allocates, without allocating it.
 * The test beside this file fills real sequences and compares, page by page.
 */
import type { LayerCache } from "../cache/layer-cache.ts";

/** How many pages of each stream a sequence has. */
export interface PageCounts {
  readonly main: number;
  readonly exact: number;
}

/** Pages after `tokens` have been committed. */
export function pagesAtRest(layer: LayerCache, tokens: number): PageCounts {
  return { main: mainPages(layer, tokens), exact: layer.residual?.numPages(tokens, tokens) ?? 0 };
}

/**
 * Most pages of each stream during a prefill of `tokens` in steps of `chunkTokens`: the window moves on at the end of a
 * step, so the 16-bit copies of a whole step lie beside those of the window before it. A storage keeps what it once gave out.
 */
export function pagesHeld(layer: LayerCache, tokens: number, chunkTokens: number): PageCounts {
  const fullSteps = Math.floor(tokens / chunkTokens);
  const ends = [[fullSteps * chunkTokens, tokens]];
  if (fullSteps > 0) ends.push([(fullSteps - 1) * chunkTokens, fullSteps * chunkTokens]);
  const exact = ends.map(([committed, reserved]) => layer.residual?.numPages(committed!, reserved!) ?? 0);
  return { main: mainPages(layer, tokens), exact: Math.max(...exact) };
}

/** Bytes of these pages. */
export function bytesOf({ main, exact }: LayerCache, counts: PageCounts): number {
  return counts.main * main.numBytes + counts.exact * (exact?.numBytes ?? 0);
}

const mainPages = ({ main }: LayerCache, tokens: number): number => Math.ceil(tokens / main.pageTokens);
