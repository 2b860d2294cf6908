/**
 * @file Keys and values of one layer of one sequence: pages of codes for every token, and 16-bit pages of sinks and window.
 *
 * A token's codes go to the main pages as soon as it is appended, so codes never depend on how a prompt was cut into chunks.
 */
import { assert } from "../../errors.ts";
import { hasKivi } from "../../quant/kivi-page.ts";
import type { PageLayout } from "../../quant/page-layout.ts";
import { BlockTable } from "../block-table.ts";
import { clearRows } from "../clear-rows.ts";
import type { LayerCache } from "../layer-cache.ts";
import type { PagePool } from "../page-pool.ts";
import type { PageAddress } from "../page-storage.ts";
import { type LayerState, MAX_MARKS, type MissingPage, type SavedPage } from "./layer-state.ts";

/** Groups of pages that one attention kernel reads together. */
export const mainGroup = (layer: number): number => 2 * layer;
export const exactGroup = (layer: number): number => 2 * layer + 1;

/** A length to go back to, with the 16-bit pages of its window; each is retained. */
interface Mark {
  readonly length: number;
  readonly exactStart: number;
  readonly pages: readonly (readonly [index: number, address: PageAddress])[];
}

/** What a snapshot's header says of the keys and values of a layer. */
export interface KvDescription {
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Bytes of a page of each stream; 0 when the layer has no 16-bit pages. */
  readonly mainPageBytes: number;
  readonly exactPageBytes: number;
  /** Positions from here on have a 16-bit copy (`KvState.exactStart`). */
  readonly exactStart: number;
  /** Indices of the 16-bit pages in the file, ascending. */
  readonly exactPages: readonly number[];
}

export class KvState implements LayerState {
  readonly layer: LayerCache;
  /** Block table of every token; entry p covers positions [p·pageTokens, (p+1)·pageTokens). */
  readonly main: BlockTable;
  /** Block table of the 16-bit pages; absent pages are 0. */
  readonly exact: BlockTable;
  readonly #pool: PagePool;
  readonly #index: number;
  #length: number;
  #exactStart: number;
  #marks: readonly Mark[] = [];

  /** index: of the layer among those with keys and values */
  constructor(layer: LayerCache, index: number, pool: PagePool, from?: KvState) {
    this.layer = layer;
    this.#index = index;
    this.#pool = pool;
    this.main = from?.main.clone() ?? new BlockTable();
    this.exact = from?.exact.clone() ?? new BlockTable();
    this.#length = from ? from.#length : 0;
    this.#exactStart = from ? from.#exactStart : 0;
  }

  /**
   * Every position from this one on has its 16-bit copy; earlier ones have none, sinks aside, or must not be relied on.
   * At most the length; without a window always the length.
   */
  get exactStart(): number {
    return this.#exactStart;
  }

  get numBytes(): number {
    const { main, exact } = this.layer;
    const marked = new Set<PageAddress>();
    for (const mark of this.#marks)
      for (const [index, address] of mark.pages) {
        if (this.exact.get(index) !== address) marked.add(address);
      }
    return count(this.main) * main.numBytes + (count(this.exact) + marked.size) * (exact?.numBytes ?? 0);
  }

  missingPages(tokens: number): MissingPage[] {
    const { main, residual } = this.layer;
    const pages = this.#missing(this.main, main, mainGroup(this.#index), tokens, () => true);
    if (residual) {
      const isNeeded = (start: number): boolean => residual.isWritten(start);
      pages.push(...this.#missing(this.exact, residual.layout, exactGroup(this.#index), tokens, isNeeded));
    }
    return pages;
  }

  commit(tokens: number): void {
    const last = this.#length + tokens - 1;
    assert(
      tokens === 0 || this.main.get(Math.floor(last / this.layer.main.pageTokens)) !== 0,
      `commit of ${tokens} tokens that were not reserved`,
    );
    this.#length += tokens;
    const { residual } = this.layer;
    if (!residual) return;
    const start = residual.startAt(this.#length);
    if (residual.window > 0) {
      const { pageTokens } = residual.layout;
      const first = Math.max(residual.sinkPages, Math.floor(this.#exactStart / pageTokens));
      for (let index = first; index < start / pageTokens; index++) {
        const address = this.exact.get(index);
        if (!address) continue;
        this.#pool.release(address);
        this.exact.set(index, 0);
      }
    }
    this.#exactStart = residual.window === 0 ? this.#length : Math.max(this.#exactStart, start);
  }

  keepable(length: number): number {
    if (this.#isWhole(length)) return length;
    return this.#markAt(length)?.length ?? 0;
  }

  cutTo(length: number): void {
    if (!this.#isWhole(length)) {
      const mark = this.#markAt(length);
      assert(mark?.length === length || length === 0, `cut to ${length}, whose 16-bit copies are gone`);
      if (mark) this.#restoreMark(mark);
    }
    this.truncate(length);
  }

  /**
   * Drops tokens from position `length` on whether or not their window is left: until it has refilled, attention reads codes
   * where a sequence that was never longer reads 16-bit copies.
   */
  truncate(length: number): void {
    const { main, residual } = this.layer;
    this.#length = length;
    this.#dropFrom(this.main, Math.ceil(length / main.pageTokens));
    const gone = this.#marks.filter((mark) => mark.length > length);
    this.#marks = this.#marks.filter((mark) => mark.length <= length);
    for (const mark of gone) this.#releaseMark(mark);
    if (!residual) return;
    this.#dropFrom(this.exact, Math.ceil(length / residual.layout.pageTokens));
    this.#exactStart = Math.min(this.#exactStart, length);
  }

  dropReserved(): void {
    this.truncate(this.#length);
  }

  markable(length: number): number {
    const { main } = this.layer;
    // A page that KIVI has quantized does not go back to its copies.
    return hasKivi(main) ? Math.floor(length / main.pageTokens) * main.pageTokens : length;
  }

  mark(): void {
    const { residual } = this.layer;
    // Without a window nothing is ever given back, and near the end nothing has been yet.
    if (!residual || residual.window === 0 || this.#length === 0 || this.#marks.at(-1)?.length === this.#length) return;
    if (this.markable(this.#length) !== this.#length) return;
    const { pageTokens } = residual.layout;
    const pages: [number, PageAddress][] = [];
    const first = Math.max(Math.floor(this.#exactStart / pageTokens), residual.sinkPages);
    for (let index = first; index * pageTokens < this.#length; index++) {
      const address = this.exact.get(index);
      this.#pool.retain(address);
      pages.push([index, address]);
    }
    const marks = [...this.#marks, { length: this.#length, exactStart: this.#exactStart, pages }];
    for (const mark of marks.slice(0, -MAX_MARKS)) this.#releaseMark(mark);
    this.#marks = marks.slice(-MAX_MARKS);
  }

  fork(hasMarks: boolean): KvState {
    const copy = new KvState(this.layer, this.#index, this.#pool, this);
    for (const table of [copy.main, copy.exact]) {
      for (const address of table.entries()) if (address) this.#pool.retain(address);
    }
    if (!hasMarks) return copy;
    copy.#marks = this.#marks;
    for (const { pages } of this.#marks) for (const [, address] of pages) this.#pool.retain(address);
    return copy;
  }

  describe(): KvDescription & Readonly<Record<string, unknown>> {
    const { main, exact, residual } = this.layer;
    return {
      numKvHeads: main.numKvHeads,
      headDim: main.headDim,
      mainPageBytes: main.numBytes,
      exactPageBytes: exact?.numBytes ?? 0,
      exactStart: this.#exactStart,
      exactPages: residual?.pageIndices(this.#length, this.#exactStart) ?? [],
    };
  }

  *savedPages(): Generator<SavedPage> {
    const { main, residual } = this.layer;
    const length = this.#length;
    for (let index = 0, start = 0; start < length; index++, start += main.pageTokens) {
      const to = length - start;
      yield savedPage(this.main.get(index), main, (bytes) => clearRows(bytes, main, to, main.pageTokens));
    }
    for (const index of residual?.pageIndices(length, this.#exactStart) ?? []) {
      const { layout, sinks } = residual!;
      const start = index * layout.pageTokens;
      const sinkRows = Math.min(sinks, length) - start;
      yield savedPage(this.exact.get(index), layout, (bytes) => {
        clearRows(bytes, layout, Math.max(0, sinkRows), Math.min(this.#exactStart - start, layout.pageTokens));
        clearRows(bytes, layout, Math.max(0, length - start), layout.pageTokens);
      });
    }
  }

  /** Takes over pages already put into the tables: the end of a restore. */
  adopt(length: number, exactStart: number): void {
    this.#length = length;
    this.#exactStart = exactStart;
  }

  release(): void {
    this.truncate(0);
  }

  #isWhole(length: number): boolean {
    const { main, residual } = this.layer;
    if (length === this.#length || length === 0 || !residual) return true;
    if (!residual.isWhole(length, this.#exactStart)) return false;
    // KIVI quantizes a page of keys when it is full, from the copies; cut into, it has to be as before.
    const pageStart = Math.floor(length / main.pageTokens) * main.pageTokens;
    const wasFull = pageStart + main.pageTokens <= this.#length;
    return !(hasKivi(main) && pageStart < length && wasFull && this.#exactStart > pageStart);
  }

  #markAt(length: number): Mark | undefined {
    return this.#marks.findLast((mark) => mark.length <= length);
  }

  #restoreMark({ pages, exactStart }: Mark): void {
    for (const [index, address] of pages) {
      const present = this.exact.get(index);
      if (present === address) continue;
      // The last page of the mark was not full, and has been copied before it was written to.
      if (present) this.#pool.release(present);
      this.#pool.retain(address);
      this.exact.set(index, address);
    }
    this.#exactStart = exactStart;
  }

  #releaseMark({ pages }: Mark): void {
    for (const [, address] of pages) this.#pool.release(address);
  }

  #dropFrom(table: BlockTable, first: number): void {
    for (let index = first; index < table.length; index++) {
      const address = table.get(index);
      if (address) this.#pool.release(address);
    }
    table.truncate(first);
  }

  #missing(
    table: BlockTable,
    layout: PageLayout,
    group: number,
    tokens: number,
    isNeeded: (pageStart: number) => boolean,
  ): MissingPage[] {
    const pages: MissingPage[] = [];
    const from = this.#length;
    for (let index = Math.floor(from / layout.pageTokens); index * layout.pageTokens < from + tokens; index++) {
      const replaces = table.get(index);
      if (replaces ? !this.#pool.isShared(replaces) : !isNeeded(index * layout.pageTokens)) continue;
      const place = (address: PageAddress): (() => void) => {
        const before = table.length;
        table.set(index, address);
        return () => {
          table.set(index, replaces);
          table.truncate(before);
        };
      };
      pages.push({ numBytes: layout.numBytes, group, replaces, place });
    }
    return pages;
  }
}

function savedPage(address: PageAddress, layout: PageLayout, blank: (bytes: Uint8Array) => void): SavedPage {
  return { address, numBytes: layout.numBytes, blank };
}

function count(table: BlockTable): number {
  let pages = 0;
  for (const address of table.entries()) if (address) pages++;
  return pages;
}
