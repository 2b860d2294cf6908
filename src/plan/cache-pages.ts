/**
 * @file Number of pages of a sequence in closed form: what `Sequence` would allocate. The test beside this file compares it
 * with real sequences, page by page.
 */
import type { LayerCache } from "../cache/layer-cache.ts";

/** Number of pages of each stream. */
export interface PageCounts {
  readonly main: number;
  readonly residual: number;
}

/** Pages when `tokens` have been committed. */
export function pagesAtRest(layer: LayerCache, tokens: number): PageCounts {
  return pagesOf(layer, tokens, tokens);
}

/**
 * The most pages of each stream during a prefill of `tokens` in steps of `chunkTokens`. Windows move on at the end of a step,
 * so the pages of a whole step exist beside those of the window before it. A storage does not give memory back.
 */
export function pagesHeld(layer: LayerCache, tokens: number, chunkTokens: number): PageCounts {
  const fullSteps = Math.floor(tokens / chunkTokens);
  const { reach, residual } = layer;
  // Once windows are full, all full steps are alike. Sinks stay until a sliding window has passed them.
  const sinksGone =
    reach.slidingWindow > 0 ? Math.floor((reach.slidingWindow + (residual?.sinks ?? 0)) / chunkTokens) : 0;
  const steps = [fullSteps, fullSteps - 1, 0, sinksGone - 1, sinksGone, sinksGone + 1];
  const most = { main: 0, residual: 0 };
  for (const step of steps) {
    if (step < 0 || step > fullSteps) continue;
    const { main, residual } = pagesOf(layer, step * chunkTokens, Math.min(tokens, (step + 1) * chunkTokens));
    most.main = Math.max(most.main, main);
    most.residual = Math.max(most.residual, residual);
  }
  return most;
}

/** Bytes of these pages. */
export function bytesOf({ main, residual }: LayerCache, counts: PageCounts): number {
  return counts.main * main.numBytes + counts.residual * (residual?.layout.numBytes ?? 0);
}

/** Pages when positions up to `reserved` have been allocated and `committed` of them are part of the sequence. */
function pagesOf({ main, reach, residual }: LayerCache, committed: number, reserved: number): PageCounts {
  return {
    main: reach.numPages(committed, residual?.codedTokens(reserved) ?? reserved, main.pageTokens),
    residual: residual?.numPages(committed, reserved) ?? 0,
  };
}
