/** @file For tests: sequences whose pages say which token wrote them. */
import type { BlockTable } from "../../src/cache/block-table.ts";
import { KvCache } from "../../src/cache/kv-cache.ts";
import { MemoryPageStorage } from "../../src/cache/memory-storage.ts";
import { PagePool } from "../../src/cache/page-pool.ts";
import type { PageAddress } from "../../src/cache/page-storage.ts";
import type { Sequence } from "../../src/cache/sequence.ts";
import type { LayerShape } from "../../src/cache/states/state-shape.ts";
import type { LayerKvFormat } from "../../src/quant/kv-format.ts";
import { plain } from "../../src/quant/kv-presets.ts";
import type { PageLayout } from "../../src/quant/page-layout.ts";

export function kvFormat(sinks: number, window: number, k = "tq4", v = k): LayerKvFormat {
  return { k: plain(k), v: plain(v), sinks, window, rotation: "hadamard", seed: 0 };
}

/** With sinks and window in 8 bits. */
export const eightBitFormat = (sinks: number, window: number): LayerKvFormat => ({
  ...kvFormat(sinks, window),
  windowBits: 8,
});

/** Codes of 4 bits, of 3 behind the newest `threes` tokens, and of 2 behind the newest `twos`. */
export const tieredFormat = (format: LayerKvFormat, threes: number, twos: number): LayerKvFormat => ({
  ...format,
  tiers: [
    { k: plain("tq3"), v: plain("tq3"), after: threes },
    { k: plain("tq2"), v: plain("tq2"), after: twos },
  ],
});

/** Memory that counts copies and can be made to fail, together with others that share its counts. */
export class FakeStorage extends MemoryPageStorage {
  readonly counts: { copies: number; allowance: number };

  constructor(counts = { copies: 0, allowance: Number.POSITIVE_INFINITY }) {
    super();
    this.counts = counts;
  }

  get numCopies(): number {
    return this.counts.copies;
  }

  /** Allocations that still succeed. */
  set allowance(count: number) {
    this.counts.allowance = count;
  }

  override allocate(numBytes: number): PageAddress {
    if (this.counts.allowance-- <= 0) throw new Error("device out of memory");
    return super.allocate(numBytes);
  }

  override copy(from: PageAddress, to: PageAddress, numBytes: number): void {
    this.counts.copies++;
    super.copy(from, to, numBytes);
  }
}

export interface Fixture {
  /** The first of the memories. */
  readonly storage: FakeStorage;
  readonly pool: PagePool;
  readonly cache: KvCache;
}

export function makeCache(
  formats: readonly LayerKvFormat[],
  options: { budgetBytes?: number; shape?: LayerShape; memories?: number } = {},
): Fixture {
  const storage = new FakeStorage();
  const pool = new PagePool(storage, options.budgetBytes);
  const shape = options.shape ?? { numKvHeads: 2, headDim: 8 };
  // Each memory has pages of the same addresses. Layers take turns, so that neighbours lie in different ones.
  const pools = Array.from({ length: options.memories ?? 1 }, (_, i) =>
    i === 0 ? pool : pool.beside(new FakeStorage(storage.counts)),
  );
  const cache = new KvCache(
    formats.map(() => shape),
    (layer) => formats[layer]!,
    pool,
    (layer) => pools[layer % pools.length]!,
  );
  return { storage, pool, cache };
}

const bytesOf = ({ cache }: Fixture, layer: number, address: PageAddress): Uint8Array =>
  (cache.layerPools[layer]!.storage as FakeStorage).bytes(address);

/** Offset of the first code byte of V's last head in a row: a byte that belongs to this row alone. */
function markAt(layout: PageLayout, row: number): number {
  const plane = layout.v.planes[0]!;
  return plane.offset + (layout.numKvHeads - 1) * plane.headStride + row * plane.rowBytes;
}

/**
 * What a backend does between `reserve` and `commit`: marks each new row of both streams with its token (1–255). Behind a window that stands
 * alone, and in pages of a coarser tier, rows of codes get the marks of the rows that they are made of.
 */
export function write(fixture: Fixture, sequence: Sequence, tokens: readonly number[]): void {
  const { length } = sequence;
  fixture.cache.layers.forEach(({ main, residual, tiers }, layer) => {
    const state = sequence.kv(layer);
    const put = (layout: PageLayout, table: BlockTable, position: number, token: number): void => {
      const address = table.get(Math.floor(position / layout.pageTokens));
      if (address) bytesOf(fixture, layer, address)[markAt(layout, position % layout.pageTokens)] = token;
    };
    tokens.forEach((token, i) => {
      if (residual) put(residual.layout, state.residual, length + i, token);
      if (!residual?.isAlone) put(main, state.main, length + i, token);
    });
    const end = length + tokens.length;
    for (let p = state.codedTokens(length); residual?.isAlone && p < state.codedTokens(end); p++) {
      put(main, state.main, p, readMark(fixture, sequence, layer, "residual", p)!);
    }
    for (const [tier, { layout }] of tiers.entries()) {
      const [from, to] = [state.tierPages(tier, length), state.tierPages(tier, end)].map((n) => n * layout.pageTokens);
      for (let p = from!; p < to!; p++) {
        const mark = readMark(fixture, sequence, layer, tier === 0 ? "main" : tier - 1, p);
        if (mark !== null) put(layout, state.tiers[tier]!, p, mark);
      }
    }
  });
}

export function append(fixture: Fixture, sequence: Sequence, tokens: readonly number[]): void {
  sequence.reserve(tokens.length);
  write(fixture, sequence, tokens);
  sequence.commit(tokens.length);
}

/** The token that a row is marked with; null when its page is not there. stream: a number for a coarser tier */
export function readMark(
  fixture: Fixture,
  sequence: Sequence,
  layer: number,
  stream: "main" | "residual" | number,
  position: number,
): number | null {
  const { main, residual, tiers } = fixture.cache.layers[layer]!;
  const layout = stream === "main" ? main : stream === "residual" ? residual?.layout : tiers[stream]!.layout;
  const table = typeof stream === "number" ? sequence.tiers(layer)[stream]! : sequence[stream](layer);
  const address = layout ? table.get(Math.floor(position / layout.pageTokens)) : 0;
  return layout && address ? bytesOf(fixture, layer, address)[markAt(layout, position % layout.pageTokens)]! : null;
}

export const range = (n: number, from = 0): number[] => Array.from({ length: n }, (_, i) => ((from + i) % 255) + 1);
