/** @file What a snapshot has of keys and values: the entry of its header, and the pages. */
import type { PageLayout } from "../../quant/page-layout.ts";
import type { BlockTable } from "../block-table.ts";
import { clearRows } from "../clear-rows.ts";
import type { LayerCache } from "../layer-cache.ts";
import type { PagePool } from "../page-pool.ts";
import type { PageAddress } from "../page-storage.ts";
import type { KvDescription } from "./kv-description.ts";
import type { SavedPage } from "./layer-state.ts";
import { range } from "./table-pages.ts";

/**
 * The number of rows from which on a page of codes is never written again. Pages of a format with tiers are coded anew as they grow older, so none
 * of them is sealed.
 */
export function sealedSince({ main, residual, tiers }: LayerCache, index: number): number {
  if (tiers.length > 0) return Number.POSITIVE_INFINITY;
  const end = (index + 1) * main.pageTokens;
  return residual?.isAlone ? end + residual.window - 1 : end;
}

/** Of a `KvState`. */
interface Saved {
  readonly layer: LayerCache;
  readonly pool: PagePool;
  readonly main: BlockTable;
  readonly residual: BlockTable;
  readonly tiers: readonly BlockTable[];
  readonly residualStart: number;
  codedTokens(length: number): number;
}

/** inTier: the number of first pages in each coarser tier or behind it */
export function describeKv(
  state: Saved,
  length: number,
  inTier: readonly number[],
): KvDescription & Readonly<Record<string, unknown>> {
  const { main, residual, reach, tiers } = state.layer;
  return {
    ...(reach.slidingWindow > 0 && { slidingWindow: reach.slidingWindow }),
    numKvHeads: main.numKvHeads,
    headDim: main.headDim,
    ...(main.valueDim !== main.headDim && { valueDim: main.valueDim }),
    ...(main.rotaryKey && { rotaryKeyDim: main.rotaryKey.dim }),
    mainPageBytes: main.numBytes,
    exactPageBytes: residual?.layout.numBytes ?? 0,
    exactStart: state.residualStart,
    exactPages: residual?.pageIndices(length, state.residualStart) ?? [],
    ...(residual?.isAlone && { codedTokens: state.codedTokens(length) }),
    ...(tiers.length > 0 && {
      tierPages: [...inTier],
      tierPageBytes: tiers.map(({ layout }) => layout.numBytes),
    }),
  };
}

/** The pages in the order in which a snapshot stores them. inTier: as of `describeKv` */
export function* savedKv(state: Saved, length: number, inTier: readonly number[]): Generator<SavedPage> {
  const { main, residual, reach, tiers } = state.layer;
  const coded = state.codedTokens(length);
  const firstOf = (tier: number): number => Math.max(reach.firstPage(length, main.pageTokens), inTier[tier] ?? 0);
  for (let index = firstOf(0); index * main.pageTokens < coded; index++) {
    const to = coded - index * main.pageTokens;
    const page = savedPage(state.pool, state.main.get(index), main, (bytes) =>
      clearRows(bytes, main, to, main.pageTokens),
    );
    const since = sealedSince(state.layer, index);
    yield since <= length ? { ...page, sealed: { index, since } } : page;
  }
  for (const index of residual?.pageIndices(length, state.residualStart) ?? []) {
    const { layout, sinks } = residual!;
    const start = index * layout.pageTokens;
    const sinkRows = Math.min(sinks, length) - start;
    yield savedPage(state.pool, state.residual.get(index), layout, (bytes) => {
      clearRows(bytes, layout, Math.max(0, sinkRows), Math.min(state.residualStart - start, layout.pageTokens));
      clearRows(bytes, layout, Math.max(0, length - start), layout.pageTokens);
    });
  }
  for (const [tier, { layout }] of tiers.entries()) {
    // Pages of a coarser tier are full.
    for (const index of range(firstOf(tier + 1), inTier[tier]!)) {
      yield savedPage(state.pool, state.tiers[tier]!.get(index), layout, () => {});
    }
  }
}

function savedPage(
  pool: PagePool,
  address: PageAddress,
  { numBytes }: PageLayout,
  blank: (bytes: Uint8Array) => void,
): SavedPage {
  return { pool, address, numBytes, blank };
}
