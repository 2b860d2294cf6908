/**
 * @file Number of pages of a sequence in closed form: what `Sequence` would allocate. The test beside this file compares it
 * with real sequences, page by page. Formats that yield to memory (`--kv auto`) are counted as coarse as they can get.
 */
import type { LayerCache } from "./layer-cache.ts";
import { type CoarserTier, mostInTier, pagesFromTier } from "./states/tiers.ts";

/** Number of pages of each stream. */
export interface PageCounts {
  readonly main: number;
  readonly residual: number;
  /** Of each coarser tier. */
  readonly tiers: readonly number[];
}

/** Number of first pages that are at least as coarse as a tier asks for in a sequence of `length` tokens, of which the first `coded` have codes. */
type PagesInTier = (tier: CoarserTier, length: number, coded: number) => number;

/** Pages when `tokens` have been committed. inTier: `pagesInTier` where memory has never been short */
export function pagesAtRest(layer: LayerCache, tokens: number, inTier: PagesInTier = mostInTier): PageCounts {
  const rows = Math.floor(tokens / layer.tokensPerRow);
  return pagesOf(layer, rows, rows, inTier);
}

/**
 * The most pages of each stream during a prefill of `tokens` in steps of `chunkTokens`. Windows move on at the end of a step,
 * so the pages of a whole step exist beside those of the window before it. A storage does not give memory back.
 */
export function pagesHeld(layer: LayerCache, tokens: number, chunkTokens: number): PageCounts {
  const fullSteps = Math.floor(tokens / chunkTokens);
  const { reach, residual, tokensPerRow } = layer;
  // Once windows are full, all full steps are alike. Sinks stay until a sliding window has passed them.
  const sinksGone =
    reach.slidingWindow > 0 ? Math.floor((reach.slidingWindow + (residual?.sinks ?? 0)) / chunkTokens) : 0;
  const steps = [fullSteps, fullSteps - 1, 0, sinksGone - 1, sinksGone, sinksGone + 1];
  const most = { main: 0, residual: 0, tiers: layer.tiers.map(() => 0) };
  for (const step of steps) {
    if (step < 0 || step > fullSteps) continue;
    const [before, after] = [step * chunkTokens, Math.min(tokens, (step + 1) * chunkTokens)].map((length) =>
      Math.floor(length / tokensPerRow),
    ) as [number, number];
    const { main, residual, tiers } = pagesOf(layer, before, after);
    most.main = Math.max(most.main, main);
    most.residual = Math.max(most.residual, residual);
    most.tiers = most.tiers.map((pages, tier) => Math.max(pages, tiers[tier]!));
  }
  return most;
}

/** Bytes of these pages. */
export function bytesOf({ main, residual, tiers }: LayerCache, counts: PageCounts): number {
  const bytes = counts.main * main.numBytes + counts.residual * (residual?.layout.numBytes ?? 0);
  return tiers.reduce((sum, { layout }, tier) => sum + counts.tiers[tier]! * layout.numBytes, bytes);
}

/** Pages when positions up to `reserved` have been allocated and `committed` of them are part of the sequence. */
function pagesOf(
  { main, reach, residual, tiers }: LayerCache,
  committed: number,
  reserved: number,
  inTier: PagesInTier = mostInTier,
): PageCounts {
  const coded = (length: number): number => residual?.codedTokens(length) ?? length;
  const reachable = reach.firstPage(committed, main.pageTokens);
  const coarser = (tier: number, length: number): number => pagesFromTier(tiers, tier, length, coded(length), inTier);
  /** Pages of a tier, 0 for the finest, that end at `end`; what is in the next tier has left it at the commit. */
  const count = (tier: number, end: number): number => Math.max(0, end - Math.max(reachable, coarser(tier, committed)));
  return {
    main: count(0, Math.ceil(coded(reserved) / main.pageTokens)),
    residual: residual?.numPages(committed, reserved) ?? 0,
    tiers: tiers.map((_, tier) => count(tier + 1, coarser(tier, reserved))),
  };
}
