/** @file Tells the storage of a cache how many pages its longest sequence will have, so that it need not grow step by step. */
import type { KvCache } from "../cache/kv-cache.ts";
import { mainGroup, residualGroup } from "../cache/states/kv-state.ts";
import { pagesHeld } from "../plan/cache-pages.ts";

/** contextLength: most tokens of a sequence · chunkTokens: of a step */
export function expectPages({ layers, pool }: KvCache, contextLength: number, chunkTokens: number): void {
  const { storage, budgetBytes } = pool;
  for (const [index, layer] of layers.entries()) {
    const { main, residual } = layer;
    const pages = pagesHeld(layer, contextLength, chunkTokens);
    // A budget ends sequences before the context does, when each layer has about its share of it.
    const most = Math.floor(budgetBytes / layers.length / main.numBytes);
    storage.expect?.(main.numBytes, mainGroup(index), Math.min(pages.main, most));
    if (residual) storage.expect?.(residual.layout.numBytes, residualGroup(index), pages.residual);
  }
}
