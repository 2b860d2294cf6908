/** @file How keys and values of a layer are created for a cache and restored from a snapshot. */
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import type { LayerCache } from "../layer-cache.ts";
import type { PagePool } from "../page-pool.ts";
import { type KvDescription, KvState, mainGroup, residualGroup } from "./kv-state.ts";
import { Reach } from "./reach.ts";
import { isCount, type StateKind, type StateSlot } from "./state-slot.ts";

const SIZES = ["numKvHeads", "headDim", "mainPageBytes", "exactPageBytes"] as const;
/** Fields that are equal in caches of one shape and format, those that say more first. */
const COMPARED = [
  "numKvHeads",
  "headDim",
  "valueDim",
  "rotaryKeyDim",
  "mainPageBytes",
  "exactPageBytes",
  "slidingWindow",
] as const;

export const kvKind: StateKind = {
  isSound: (description, length) => {
    const {
      exactStart,
      exactPages,
      slidingWindow = 0,
      valueDim = 0,
      rotaryKeyDim = 0,
      codedTokens = length,
    } = description;
    return (
      isCount(slidingWindow) &&
      isCount(valueDim) &&
      isCount(rotaryKeyDim) &&
      SIZES.every((name) => isCount(description[name])) &&
      isCount(exactStart) &&
      exactStart <= length &&
      isCount(codedTokens) &&
      codedTokens <= length &&
      Array.isArray(exactPages) &&
      exactPages.every(isCount)
    );
  },
  pageBytes: (description, length) => {
    const kv = description as unknown as KvDescription;
    const { mainPageBytes, exactPageBytes, exactPages, slidingWindow = 0, codedTokens = length } = kv;
    const mainPages = new Reach(slidingWindow).numPages(length, codedTokens, PAGE_TOKENS);
    return mainPages * mainPageBytes + exactPages.length * exactPageBytes;
  },
};

/** index: place of the layer among those with keys and values · modelLayer: its index in the model */
export function kvSlot(layer: LayerCache, index: number, pool: PagePool, modelLayer: number): StateSlot {
  const create = (): KvState => new KvState(layer, index, pool);
  return {
    kind: "kv",
    layer: modelLayer,
    fixedBytes: 0,
    isRowInvariant: true,
    create,
    mismatch: (description, length) => {
      const own = create().describe();
      for (const name of COMPARED) {
        if (description[name] !== own[name]) return { name, want: own[name], got: description[name] };
      }
      const { exactStart, exactPages } = description as unknown as KvDescription;
      const want = (layer.residual?.pageIndices(length, exactStart) ?? []).join();
      if (exactPages.join() !== want) return { name: "exactPages", want, got: exactPages.join() };
      const coded = layer.residual?.isAlone ? layer.residual.codedTokens(length, exactStart) : undefined;
      const { codedTokens } = description;
      return codedTokens === coded ? null : { name: "codedTokens", want: coded, got: codedTokens };
    },
    restore: (description, length, take) => {
      const kv = description as unknown as KvDescription;
      const { exactStart, exactPages, mainPageBytes, exactPageBytes, codedTokens = length } = kv;
      const state = create();
      try {
        const pages = Math.ceil(codedTokens / layer.main.pageTokens);
        for (let page = layer.reach.firstPage(length, layer.main.pageTokens); page < pages; page++) {
          state.main.set(page, take(pool, mainPageBytes, mainGroup(index)));
        }
        for (const page of exactPages) state.residual.set(page, take(pool, exactPageBytes, residualGroup(index)));
      } catch (error) {
        state.release();
        throw error;
      }
      state.adopt(length, exactStart);
      return state;
    },
  };
}
