/** @file Tells the storage of a cache how many pages its longest sequence will have, so that it can allocate them at once. */
import type { KvCache } from "../cache/kv-cache.ts";
import { mainGroup, residualGroup } from "../cache/states/kv-state.ts";
import { pagesHeld } from "../plan/cache-pages.ts";

/** contextLength: the most tokens of a sequence · chunkTokens: the most tokens of a step */
export function expectPages({ layers, layerPools, pool }: KvCache, contextLength: number, chunkTokens: number): void {
  for (const [index, layer] of layers.entries()) {
    const { main, residual } = layer;
    const { storage } = layerPools[index]!;
    const pages = pagesHeld(layer, contextLength, chunkTokens);
    // A budget may end sequences before the context does; each layer gets an equal share of it.
    const most = Math.floor(pool.budgetBytes / layers.length / main.numBytes);
    storage.expect?.(main.numBytes, mainGroup(index), Math.min(pages.main, most));
    if (residual) storage.expect?.(residual.layout.numBytes, residualGroup(index), pages.residual);
  }
}
