/** @file How keys and values of a layer are created for a cache and restored from a snapshot. */
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import type { LayerCache } from "../layer-cache.ts";
import type { PagePool } from "../page-pool.ts";
import type { KvDescription } from "./kv-description.ts";
import { sealedSince } from "./kv-saved.ts";
import { KvState, mainGroup, residualGroup } from "./kv-state.ts";
import { Reach } from "./reach.ts";
import { isCount, type StateKind, type StateSlot } from "./state-slot.ts";
import { pagesInTier } from "./tiers.ts";

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

const isCounts = (value: unknown): value is number[] => Array.isArray(value) && value.every(isCount);

export const kvKind: StateKind = {
  isSound: (description, length) => {
    const {
      exactStart,
      exactPages,
      slidingWindow = 0,
      valueDim = 0,
      rotaryKeyDim = 0,
      codedTokens = length,
      tierPages = [],
      tierPageBytes = [],
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
      isCounts(tierPages) &&
      isCounts(tierPageBytes) &&
      tierPages.length === tierPageBytes.length &&
      tierPages.every((pages, tier) => pages <= (tierPages[tier - 1] ?? length / PAGE_TOKENS)) &&
      isCounts(exactPages)
    );
  },
  pageBytes: (description, length) => {
    const kv = description as unknown as KvDescription;
    const { mainPageBytes, exactPageBytes, exactPages, slidingWindow = 0, codedTokens = length } = kv;
    const { tierPages = [], tierPageBytes = [] } = kv;
    const first = new Reach(slidingWindow).firstPage(length, PAGE_TOKENS);
    const bytesOf = (end: number, next: number | undefined, numBytes: number): number =>
      Math.max(0, end - Math.max(first, next ?? 0)) * numBytes;
    return tierPages.reduce(
      (sum, pages, tier) => sum + bytesOf(pages, tierPages[tier + 1], tierPageBytes[tier]!),
      bytesOf(Math.ceil(codedTokens / PAGE_TOKENS), tierPages[0], mainPageBytes) + exactPages.length * exactPageBytes,
    );
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
      if (codedTokens !== coded) return { name: "codedTokens", want: coded, got: codedTokens };
      const { tierPages = [], tierPageBytes = [] } = description as unknown as KvDescription;
      const sizes = layer.tiers.map(({ layout }) => layout.numBytes).join();
      if (tierPageBytes.join() !== sizes) return { name: "tierPageBytes", want: sizes, got: tierPageBytes.join() };
      const least = layer.tiers.map((tier) => pagesInTier(tier, length));
      const isOld = least.every((pages, tier) => tierPages[tier]! >= pages);
      return isOld ? null : { name: "tierPages", want: least.join(), got: tierPages.join() };
    },
    restore: (description, length, take) => {
      const kv = description as unknown as KvDescription;
      const { exactStart, exactPages, mainPageBytes, exactPageBytes, codedTokens = length } = kv;
      const { tierPages = [], tierPageBytes = [] } = kv;
      const state = create();
      const firstPage = layer.reach.firstPage(length, layer.main.pageTokens);
      const firstOf = (tier: number): number => Math.max(firstPage, tierPages[tier] ?? 0);
      try {
        const pages = Math.ceil(codedTokens / layer.main.pageTokens);
        for (let page = firstOf(0); page < pages; page++) {
          const sealed = sealedSince(layer, page) <= length ? page : undefined;
          state.main.set(page, take(pool, mainPageBytes, mainGroup(index), sealed));
        }
        for (const page of exactPages) state.residual.set(page, take(pool, exactPageBytes, residualGroup(index)));
        for (const [tier, table] of state.tiers.entries()) {
          for (let page = firstOf(tier + 1); page < tierPages[tier]!; page++) {
            table.set(page, take(pool, tierPageBytes[tier]!, mainGroup(index)));
          }
        }
      } catch (error) {
        state.release();
        throw error;
      }
      state.adopt(length, exactStart, tierPages);
      return state;
    },
  };
}
