/**
 * @file Tells the storage of a cache how many pages are to come, so that it can allocate them at once: those of its longest
 * sequence when a model is loaded, and those of a prompt before it is read.
 */
import type { KvCache } from "../cache/kv-cache.ts";
import { bytesOf, pagesAtRest, pagesHeld } from "../cache/page-counts.ts";
import type { Sequence } from "../cache/sequence.ts";
import { mainGroup, residualGroup } from "../cache/states/kv-state.ts";
import { isPressed } from "../cache/states/tiers.ts";
import type { PageLayout } from "../quant/page-layout.ts";

/** contextLength: the most tokens of a sequence · chunkTokens: the most tokens of a step */
export function expectPages({ layers, layerPools, pool }: KvCache, contextLength: number, chunkTokens: number): void {
  for (const [index, layer] of layers.entries()) {
    const { main, residual, tiers } = layer;
    const { storage } = layerPools[index]!;
    const pages = pagesHeld(layer, contextLength, chunkTokens);
    // A budget may end sequences before the context does; each layer gets an equal share of it.
    const mostOf = ({ numBytes }: PageLayout): number => Math.floor(pool.budgetBytes / layers.length / numBytes);
    storage.expect?.(main.numBytes, mainGroup(index), Math.min(pages.main, mostOf(main)));
    if (residual) storage.expect?.(residual.layout.numBytes, residualGroup(index), pages.residual);
    for (const [tier, { layout }] of tiers.entries()) {
      storage.expect?.(layout.numBytes, mainGroup(index), Math.min(pages.tiers[tier]!, mostOf(layout)));
    }
  }
}

/** tokens: that are to be appended to the sequence · chunkTokens: the most tokens of a step */
export function makeRoomForPrompt({ cache, length }: Sequence, tokens: number, chunkTokens: number): void {
  const { budgetBytes, numBytes, storage } = cache.pool;
  if (!storage.makeRoom) return;
  const pages = cache.layers.map((layer) => {
    const [now, then] = [pagesAtRest(layer, length), pagesHeld(layer, length + tokens, chunkTokens)];
    return {
      main: then.main - now.main,
      residual: then.residual - now.residual,
      tiers: then.tiers.map((pages, tier) => pages - now.tiers[tier]!),
    };
  });
  const bytes = pages.reduce((sum, counts, index) => sum + bytesOf(cache.layers[index]!, counts), 0);
  // What exceeds the budget will be refused, or others make way for it page by page.
  if (numBytes + bytes > budgetBytes) return;
  for (const [index, { main, residual, tiers }] of cache.layers.entries()) {
    storage.makeRoom(main.numBytes, mainGroup(index), pages[index]!.main);
    if (residual) storage.makeRoom(residual.layout.numBytes, residualGroup(index), pages[index]!.residual);
    for (const [tier, { layout, after }] of tiers.entries()) {
      // Nobody knows whether pages will have to yield.
      if (isPressed({ after })) continue;
      storage.makeRoom(layout.numBytes, mainGroup(index), pages[index]!.tiers[tier]!);
    }
  }
}
