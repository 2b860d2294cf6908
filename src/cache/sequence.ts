/**
 * @file The tokens of one sequence in the cache: block tables, copy-on-write forks, trimming.
 *
 * Every token's codes go to the main stream as soon as it is appended, so codes never depend on how a prompt was cut
 * into chunks. The exact stream holds 16-bit copies of the sinks and of the recent window beside them; its pages are
 * dropped as the window moves on. A step is `reserve` → backend writes and attends → `commit`. Steps may run ahead on
 * positions that are reserved only; `trim` to the present length takes them back without a trace.
 */
import { assert, TurboQuantError } from "../errors.ts";
import type { PageLayout } from "../quant/page-layout.ts";
import { BlockTable } from "./block-table.ts";
import type { KvCache } from "./kv-cache.ts";
import type { PageAddress } from "./page-storage.ts";

interface LayerTables {
  readonly main: BlockTable;
  readonly exact: BlockTable;
}

/** A stream of a layer together with its table; what `reserve` walks. */
interface Stream {
  readonly layout: PageLayout;
  readonly table: BlockTable;
  /** See `PageStorage.allocate`. */
  readonly group: number;
  /** First page that must be present for a position range starting at `from`. */
  readonly isNeeded: (pageStart: number) => boolean;
}

interface PlannedPage {
  readonly stream: Stream;
  readonly index: number;
  /** The shared page that it is to be a copy of, or 0. */
  readonly replaces: PageAddress;
}

/** Groups of pages that one attention kernel reads together. */
export const mainGroup = (layer: number): number => 2 * layer;
export const exactGroup = (layer: number): number => 2 * layer + 1;

export class Sequence {
  readonly cache: KvCache;
  #tables: LayerTables[];
  #length = 0;
  #exactStart: number[];
  #released = false;

  constructor(cache: KvCache) {
    this.cache = cache;
    this.#tables = cache.layers.map(() => ({ main: new BlockTable(), exact: new BlockTable() }));
    this.#exactStart = cache.layers.map(() => 0);
  }

  /** Committed tokens. */
  get length(): number {
    return this.#length;
  }

  /** Block table of every token of a layer; entry p covers positions [p·pageTokens, (p+1)·pageTokens). */
  main(layer: number): BlockTable {
    return this.#layer(layer).main;
  }

  /** Block table of the exact stream; absent pages are 0. */
  exact(layer: number): BlockTable {
    return this.#layer(layer).exact;
  }

  /**
   * Every position from this one on has its 16-bit copy; earlier ones have none, sinks aside, or must not be relied on.
   * At most `length`; without a window always `length`.
   */
  exactStart(layer: number): number {
    return this.#exactStart[layer] as number;
  }

  /** Bytes of this sequence's pages, pages shared with forks counted in full. */
  get numBytes(): number {
    let sum = 0;
    this.#forEachPage((_address, numBytes) => {
      sum += numBytes;
    });
    return sum;
  }

  /** Bytes that `reserve(count)` would allocate now. */
  bytesToReserve(count: number): number {
    return this.#planPages(count).reduce((sum, { stream }) => sum + stream.layout.numBytes, 0);
  }

  /**
   * Makes the pages of positions [length, length + count) present and this sequence's own.
   * @throws TurboQuantError out_of_memory — the sequence is as before
   */
  reserve(count: number): void {
    assert(!this.#released, "reserve on a released sequence");
    const pool = this.cache.pool;
    const undo: (() => void)[] = [];
    const plan = this.#planPages(count);
    const bytes = plan.reduce((sum, { stream }) => sum + stream.layout.numBytes, 0);
    if (bytes > 0) pool.require(bytes);
    try {
      for (const { stream, index, replaces } of plan) {
        const { table, layout, group } = stream;
        const before = table.length;
        const address = pool.allocate(layout.numBytes, group);
        undo.push(() => {
          pool.release(address);
          table.set(index, replaces);
          table.truncate(before);
        });
        if (replaces) pool.storage.copy(replaces, address, layout.numBytes);
        table.set(index, address);
      }
    } catch (error) {
      for (const step of undo.reverse()) step();
      throw error;
    }
    for (const { replaces } of plan) if (replaces) pool.release(replaces);
  }

  /** Ends a step: `count` reserved tokens are now part of the sequence, and the window moves past old exact pages. */
  commit(count: number): void {
    assert(!this.#released, "commit to a released sequence");
    const last = this.#length + count - 1;
    assert(
      count === 0 ||
        this.cache.layers.every(({ main }, i) => this.main(i).get(Math.floor(last / main.pageTokens)) !== 0),
      `commit of ${count} tokens that were not reserved`,
    );
    this.#length += count;
    this.cache.layers.forEach(({ exact, format }, layer) => {
      if (!exact) return;
      const table = this.#layer(layer).exact;
      const sinkPages = Math.ceil(format.sinks / exact.pageTokens);
      if (format.window === 0) {
        this.#exactStart[layer] = this.#length;
        return;
      }
      // The next query, at position `length`, reads 16-bit copies from length − window + 1 on.
      const keepFrom = Math.floor(Math.max(0, this.#length - format.window + 1) / exact.pageTokens);
      const first = Math.floor((this.#exactStart[layer] as number) / exact.pageTokens);
      for (let index = Math.max(sinkPages, first); index < keepFrom; index++) {
        const address = table.get(index);
        if (!address) continue;
        this.cache.pool.release(address);
        table.set(index, 0);
      }
      this.#exactStart[layer] = Math.max(this.#exactStart[layer] as number, keepFrom * exact.pageTokens);
    });
  }

  /** A second sequence with the same tokens; pages are shared until one of the two writes to them. */
  fork(): Sequence {
    assert(!this.#released, "fork of a released sequence");
    const copy = new Sequence(this.cache);
    copy.#length = this.#length;
    copy.#exactStart = this.#exactStart.slice();
    copy.#tables = this.#tables.map((t) => ({ main: t.main.clone(), exact: t.exact.clone() }));
    copy.#forEachPage((address) => this.cache.pool.retain(address));
    return copy;
  }

  /** A fork without the positions that are reserved only. */
  forkCommitted(): Sequence {
    const copy = this.fork();
    copy.trim(copy.#length);
    return copy;
  }

  /**
   * Drops tokens from position `length` on (rollback). Tokens that leave the tail do not get 16-bit copies back: until
   * the window has refilled, attention reads their codes.
   */
  trim(length: number): void {
    if (!Number.isInteger(length) || length < 0 || length > this.#length) {
      throw new TurboQuantError(
        "invalid_argument",
        `trim: expected a length from 0 to ${this.#length}, got ${length}`,
        {
          length,
        },
      );
    }
    this.#length = length;
    this.cache.layers.forEach(({ main, exact }, layer) => {
      const tables = this.#layer(layer);
      this.#dropFrom(tables.main, Math.ceil(length / main.pageTokens));
      if (!exact) return;
      this.#dropFrom(tables.exact, Math.ceil(length / exact.pageTokens));
      this.#exactStart[layer] = Math.min(this.#exactStart[layer] as number, length);
    });
  }

  /** Takes over pages already put into the tables: the end of a restore. */
  adopt(length: number, exactStart: readonly number[]): void {
    assert(this.#length === 0, "adopt into a sequence that has tokens");
    this.#length = length;
    this.#exactStart = [...exactStart];
  }

  /** Gives every page back. Idempotent. */
  release(): void {
    if (this.#released) return;
    this.trim(0);
    this.#released = true;
  }

  #dropFrom(table: BlockTable, first: number): void {
    for (let index = first; index < table.length; index++) {
      const address = table.get(index);
      if (address) this.cache.pool.release(address);
    }
    table.truncate(first);
  }

  #layer(layer: number): LayerTables {
    const tables = this.#tables[layer];
    assert(tables, `layer ${layer} of ${this.#tables.length}`);
    return tables;
  }

  /** Pages that positions [length, length + count) need and this sequence does not have for itself. */
  #planPages(count: number): PlannedPage[] {
    const pool = this.cache.pool;
    const from = this.#length;
    const plan: PlannedPage[] = [];
    for (const stream of this.#streams()) {
      const { layout, table } = stream;
      for (let index = Math.floor(from / layout.pageTokens); index * layout.pageTokens < from + count; index++) {
        const present = table.get(index);
        if (present ? pool.isShared(present) : stream.isNeeded(index * layout.pageTokens)) {
          plan.push({ stream, index, replaces: present });
        }
      }
    }
    return plan;
  }

  *#streams(): Generator<Stream> {
    for (let layer = 0; layer < this.cache.layers.length; layer++) {
      const { main, exact, format } = this.cache.layers[layer]!;
      const tables = this.#layer(layer);
      yield { layout: main, table: tables.main, group: mainGroup(layer), isNeeded: () => true };
      if (exact) {
        yield {
          layout: exact,
          table: tables.exact,
          group: exactGroup(layer),
          isNeeded: (pageStart) => format.window > 0 || pageStart < format.sinks,
        };
      }
    }
  }

  #forEachPage(visit: (address: PageAddress, numBytes: number) => void): void {
    this.cache.layers.forEach(({ main, exact }, layer) => {
      const tables = this.#layer(layer);
      for (const address of tables.main.entries()) if (address) visit(address, main.numBytes);
      if (exact) for (const address of tables.exact.entries()) if (address) visit(address, exact.numBytes);
    });
  }
}
