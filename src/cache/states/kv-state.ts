/**
 * @file Keys and values of one layer of one sequence.
 *
 * How it works. Every token has codes in the `main` pages, written when it is appended, so codes never depend on how a prompt was
 * cut into chunks. The first tokens (sinks) and the latest ones (residual window) also have 16-bit copies in the smaller `residual`
 * pages. A block table for each of the two maps positions to pages; 0 means no page.
 * A window of 8 bits stands alone (`ResidualWindow.isAlone`): its tokens have only rows in `residual` pages, and a step writes the codes of
 * those that leave it. These codes are a function of the 8 bits, so they do not depend on chunks either.
 * With tiers (tiers.ts) a page of codes that is old enough is coded anew in fewer bits by the step that makes it so, into a page of the next
 * tier's table, and the commit releases the finer one. A page is never changed in place, so forks that share it are not disturbed.
 * - `missingPages` lists the pages that coming positions need: new ones, and copies of pages that a fork shares.
 * - `commit` adds the tokens and releases pages that no later query reads: main pages behind a sliding window, and 16-bit
 *   pages that the residual window has left behind.
 * - A cut back to an earlier length needs exactly those released pages. `mark` therefore retains them for a few lengths.
 * - `keepable` finds the longest length whose pages are all there, in the tables or retained by a mark; `cutTo` goes back to
 *   it and puts the mark's pages into the tables again.
 * - `fork` copies the tables and counts one more reference to every page.
 */
import { assert } from "../../errors.ts";
import { BlockTable } from "../block-table.ts";
import type { LayerCache } from "../layer-cache.ts";
import type { PagePool } from "../page-pool.ts";
import type { PageAddress } from "../page-storage.ts";
import type { KvDescription } from "./kv-description.ts";
import { KvMarks } from "./kv-marks.ts";
import { describeKv, savedKv } from "./kv-saved.ts";
import { type LayerState, type MissingPage, NO_PAGES, type SavedPage } from "./layer-state.ts";
import { countPages, dropFrom, dropRange, missingIn, range } from "./table-pages.ts";
import { nextLength, pagesInTier } from "./tiers.ts";

/** Page groups of a layer's two streams; an attention kernel reads the pages of a group together (`PageStorage.allocate`). */
export const mainGroup = (layer: number): number => 2 * layer;
export const residualGroup = (layer: number): number => 2 * layer + 1;

export class KvState implements LayerState {
  readonly layer: LayerCache;
  /** The pool of its pages, in the memory where the layer is computed. */
  readonly pool: PagePool;
  /** Block table of the pages of codes; entry p covers positions [p·pageTokens, (p+1)·pageTokens). */
  readonly main: BlockTable;
  /** Block table of the 16-bit pages; 0 where there is no page. */
  readonly residual: BlockTable;
  /** Block tables of the coarser tiers, from fine to coarse, with entries as in `main`. A page of codes is in one of them or in `main`. */
  readonly tiers: readonly BlockTable[];
  /** Number of first pages that each coarser tier and those behind it have; at least what the rule says for the length. */
  readonly #inTier: number[];
  /** Those of them that were made coarser for want of memory, and not by age. */
  readonly #pressed: number[];
  readonly #index: number;
  #length: number;
  #residualStart: number;
  readonly #marks: KvMarks;
  /** Positions from the length up to this one are known to have pages that nobody shares, so that most tokens need not look. */
  #ownUpTo = 0;

  /** index: place of the layer among those with keys and values · from: the state to copy; the caller retains its pages */
  constructor(layer: LayerCache, index: number, pool: PagePool, from?: KvState) {
    this.layer = layer;
    this.#index = index;
    this.pool = pool;
    this.#marks = new KvMarks(pool);
    this.main = from?.main.clone() ?? new BlockTable();
    this.residual = from?.residual.clone() ?? new BlockTable();
    this.tiers = layer.tiers.map((_, tier) => (from ? from.tiers[tier]!.clone() : new BlockTable()));
    this.#inTier = layer.tiers.map((_, tier) => (from ? from.#inTier[tier]! : 0));
    this.#pressed = layer.tiers.map((_, tier) => (from ? from.#pressed[tier]! : 0));
    this.#length = from ? from.#length : 0;
    this.#residualStart = from ? from.#residualStart : 0;
  }

  /**
   * Every position from this one on has a copy in the window. Of earlier positions only sinks have one that may be read. At most the
   * length, and without a window equal to it.
   */
  get residualStart(): number {
    return this.#residualStart;
  }

  /**
   * Number of first tokens that have codes when a step has brought the sequence to `length` tokens, at least the present length. The step
   * writes those of the tokens from `codedTokens` of its beginning on.
   */
  codedTokens(length: number): number {
    return this.layer.residual?.codedTokens(length, this.#residualStart) ?? length;
  }

  /** Number of first pages that are in a coarser tier, or behind it, when a step has brought the sequence to `length` tokens. */
  tierPages(tier: number, length: number): number {
    return Math.max(this.#inTier[tier]!, pagesInTier(this.layer.tiers[tier]!, length));
  }

  /** Whether pages are coarser than their age alone makes them, as for want of memory. */
  get isPressed(): boolean {
    return this.layer.tiers.some((tier, i) => this.#inTier[i]! > pagesInTier(tier, this.#length));
  }

  get numBytes(): number {
    const { main, residual, tiers } = this.layer;
    const sizes = [main.numBytes, residual?.layout.numBytes ?? 0, ...tiers.map(({ layout }) => layout.numBytes)];
    return sizes.reduce((sum, numBytes, table) => sum + numBytes * this.#countPages(table), 0);
  }

  missingPages(tokens: number): readonly MissingPage[] {
    const end = this.#length + tokens;
    if (end <= this.#ownUpTo) return NO_PAGES;
    const { main, residual, reach, tiers } = this.layer;
    const coded = this.codedTokens(end);
    const firstPage = reach.firstPage(this.#length, main.pageTokens);
    // Codes that are beyond a sliding window already when their tokens leave the residual window get no page.
    const from = Math.max(this.codedTokens(this.#length), firstPage * main.pageTokens);
    const pages = missingIn(this.pool, this.main, main, mainGroup(this.#index), from, coded, () => true);
    if (residual) {
      const isNeeded = (start: number): boolean => residual.isWritten(start);
      pages.push(
        ...missingIn(
          this.pool,
          this.residual,
          residual.layout,
          residualGroup(this.#index),
          this.#length,
          end,
          isNeeded,
        ),
      );
    }
    for (const [tier, { layout }] of tiers.entries()) {
      const first = Math.max(this.tierPages(tier, this.#length), firstPage) * layout.pageTokens;
      const last = this.tierPages(tier, end) * layout.pageTokens;
      pages.push(...missingIn(this.pool, this.tiers[tier]!, layout, mainGroup(this.#index), first, last, () => true));
    }
    if (pages.length > 0) return pages;
    const { pageTokens } = residual?.layout ?? main;
    this.#ownUpTo = Math.ceil(end / pageTokens) * pageTokens;
    // Pages of copies end where pages of codes do, or before; but codes of a window that stands alone follow at a distance.
    if (residual?.isAlone) {
      const codedUpTo = Math.ceil(coded / main.pageTokens) * main.pageTokens;
      this.#ownUpTo = Math.min(this.#ownUpTo, codedUpTo + residual.window - 1);
    }
    for (const tier of tiers) this.#ownUpTo = Math.min(this.#ownUpTo, nextLength(tier, end) - 1);
    return pages;
  }

  commit(tokens: number): void {
    const { main, residual, reach } = this.layer;
    const table = residual?.isAlone ? this.residual : this.main;
    const last = Math.floor((this.#length + tokens - 1) / (residual?.isAlone ? residual.layout : main).pageTokens);
    // The message is put together when it is needed: this runs for each layer of each token.
    if (tokens > 0 && !table.get(last)) assert(false, `commit of ${tokens} tokens that were not reserved`);
    this.#length += tokens;
    const firstPage = reach.firstPage(this.#length, main.pageTokens);
    dropRange(this.pool, this.main, 0, firstPage);
    for (let tier = 0; tier < this.tiers.length; tier++) {
      const pages = this.tierPages(tier, this.#length);
      this.#inTier[tier] = pages;
      dropRange(this.pool, this.tiers[tier - 1] ?? this.main, 0, pages);
      dropRange(this.pool, this.tiers[tier]!, 0, firstPage);
    }
    if (!residual) return;
    const start = residual.startAt(this.#length);
    dropRange(this.pool, this.residual, 0, Math.min(residual.sinkPages, residual.firstReachable(this.#length)));
    if (residual.window > 0) {
      const { pageTokens } = residual.layout;
      const first = Math.max(residual.sinkPages, Math.floor(this.#residualStart / pageTokens));
      dropRange(this.pool, this.residual, first, start / pageTokens);
    }
    this.#residualStart = residual.window === 0 ? this.#length : Math.max(this.#residualStart, start);
  }

  keepable(length: number): number {
    if (this.#isWhole(length)) return length;
    const marked = this.#marks.at(length)?.length ?? 0;
    // Where pages have grown coarser for want of memory, the end of one is a length that needs no mark.
    const pageEnd = length - (length % this.layer.main.pageTokens);
    return this.isPressed && pageEnd > marked && this.#isWhole(pageEnd) ? pageEnd : marked;
  }

  cutTo(length: number): void {
    if (!this.#isWhole(length)) {
      const mark = this.#marks.at(length);
      assert(mark?.length === length || length === 0, `cut to ${length}, whose 16-bit copies are gone`);
      if (mark) {
        this.#marks.restore(mark, this.#tables);
        this.#residualStart = mark.residualStart;
      }
    }
    for (const tier of this.tiers.keys()) {
      this.#inTier[tier] = this.#tierPagesAt(tier, length);
      this.#pressed[tier] = Math.min(this.#pressed[tier]!, this.#inTier[tier]!);
    }
    this.truncate(length);
  }

  /** The first page of a tier, 0 for the finest, that is left of the tier, and one past the last that `coarsen` may take when the newest `keep` tokens stay. */
  coarsenable(tier: number, keep: number): { readonly first: number; readonly end: number } {
    const old = Math.floor(
      Math.max(0, Math.min(this.codedTokens(this.#length), this.#length - keep)) / this.layer.main.pageTokens,
    );
    return { first: this.#inTier[tier]!, end: tier === 0 ? old : Math.min(old, this.#inTier[tier - 1]!) };
  }

  /**
   * Moves the first page of a tier to the next one, whatever its age. No step may be in flight, and `coarsenable` has to name a page.
   * recode: codes a page anew · known: of pages that sequences share, what they became, so that it is done once
   * @throws TurboQuantError out_of_memory — see `PagePool.replace`; nothing changes but that marks may have lost the page
   */
  coarsen(
    tier: number,
    recode: (from: PageAddress, to: PageAddress) => void,
    known: Map<PageAddress, PageAddress>,
  ): void {
    const index = this.#inTier[tier]!;
    const finer = this.tiers[tier - 1] ?? this.main;
    const from = finer.get(index);
    this.#marks.forget(tier === 0 ? 0 : tier + 1, index, this.layer.main.pageTokens);
    // Absent behind a sliding window.
    if (from) {
      const made = known.get(from);
      const isShared = this.pool.isShared(from);
      const { numBytes } = this.layer.tiers[tier]!.layout;
      const to = made ?? this.pool.replace(from, numBytes, mainGroup(this.#index), (page) => recode(from, page));
      if (made) {
        this.pool.retain(made);
        this.pool.release(from);
      }
      // The address of a page that is gone may become another page's.
      if (isShared) known.set(from, to);
      else known.delete(from);
      finer.set(index, 0);
      // One that a step has reserved, in which the page would have come here by its age.
      const reserved = this.tiers[tier]!.get(index);
      if (reserved) this.pool.release(reserved);
      this.tiers[tier]!.set(index, to);
    }
    this.#inTier[tier] = index + 1;
    this.#pressed[tier] = index + 1;
    this.#ownUpTo = 0;
  }

  /** Whether `truncate` can cut to `length`: a page that is coded anew in a coarser tier takes no more tokens. */
  isTruncatable(length: number): boolean {
    const [pages = 0] = this.#inTier;
    return length >= pages * this.layer.main.pageTokens;
  }

  /**
   * Drops exactly the tokens from position `length` on, even if copies of the window are missing there. Until the window has
   * refilled, attention then reads codes where a sequence that was never longer would read copies.
   */
  truncate(length: number): void {
    const { main, residual } = this.layer;
    this.#length = length;
    this.#ownUpTo = 0;
    if (residual) {
      dropFrom(this.pool, this.residual, Math.ceil(length / residual.layout.pageTokens));
      this.#residualStart = Math.min(this.#residualStart, length);
    }
    dropFrom(this.pool, this.main, Math.ceil(this.codedTokens(length) / main.pageTokens));
    for (const [tier, table] of this.tiers.entries()) dropFrom(this.pool, table, this.tierPages(tier, length));
    this.#marks.dropBeyond(length);
  }

  dropReserved(): void {
    this.truncate(this.#length);
  }

  markable(length: number): number {
    const { main } = this.layer;
    // A page that is stored when it is full was quantized from its 16-bit copies, and codes cannot be turned back into copies.
    return main.isStoredWhole ? Math.floor(length / main.pageTokens) * main.pageTokens : length;
  }

  mark(): void {
    const { main, residual, reach, tiers } = this.layer;
    // A layer that never releases pages can always be cut back, so it needs no mark.
    const givesBack = (residual?.window ?? 0) > 0 || reach.slidingWindow > 0 || tiers.length > 0;
    if (!givesBack || this.#length === 0 || this.#marks.latest?.length === this.#length) return;
    if (this.markable(this.#length) !== this.#length) return;
    this.#ownUpTo = 0;
    const pageEnd = Math.ceil(this.codedTokens(this.#length) / main.pageTokens);
    const firstPage = reach.slidingWindow > 0 ? reach.firstPage(this.#length, main.pageTokens) : 0;
    // Pages of codes that may be released later: all within a sliding window, and without one those that may still grow coarser.
    const codePages = (tier: number, end: number): number[] => {
      const isReleased = reach.slidingWindow > 0 || tier < tiers.length;
      return isReleased ? range(Math.max(firstPage, this.#inTier[tier] ?? 0), end) : [];
    };
    const copies = residual?.pageIndices(this.#length, this.#residualStart) ?? [];
    this.#marks.add({
      length: this.#length,
      residualStart: this.#residualStart,
      pages: [
        this.#marks.retain(this.main, codePages(0, pageEnd)),
        this.#marks.retain(this.residual, copies),
        ...this.tiers.map((table, tier) => this.#marks.retain(table, codePages(tier + 1, this.#inTier[tier]!))),
      ],
    });
  }

  fork(hasMarks: boolean): KvState {
    const copy = new KvState(this.layer, this.#index, this.pool, this);
    this.#ownUpTo = 0;
    for (const table of copy.#tables) {
      for (const address of table.entries()) if (address) this.pool.retain(address);
    }
    if (hasMarks) copy.#marks.copy(this.#marks);
    return copy;
  }

  describe(): KvDescription & Readonly<Record<string, unknown>> {
    return describeKv(this, this.#length, this.#inTier);
  }

  savedPages(): Iterable<SavedPage> {
    return savedKv(this, this.#length, this.#inTier);
  }

  /** Ends a restore: the pages are in the tables already. tierPages: as in `KvDescription` */
  adopt(length: number, residualStart: number, tierPages: readonly number[] = []): void {
    this.#length = length;
    this.#residualStart = residualStart;
    for (const [tier, pages] of tierPages.entries()) {
      this.#inTier[tier] = pages;
      if (pages > pagesInTier(this.layer.tiers[tier]!, length)) this.#pressed[tier] = pages;
    }
  }

  release(): void {
    this.#inTier.fill(0);
    this.#pressed.fill(0);
    this.truncate(0);
  }

  get #tables(): readonly BlockTable[] {
    return [this.main, this.residual, ...this.tiers];
  }

  #isWhole(length: number): boolean {
    const { main, residual, reach } = this.layer;
    if (length === this.#length || length === 0) return true;
    const hasPages = (table: BlockTable, first: number, end: number): boolean =>
      range(first, end).every((index) => table.get(index) !== 0);
    if (reach.slidingWindow > 0) {
      const end = Math.ceil((residual?.codedTokens(length) ?? length) / main.pageTokens);
      if (!hasPages(this.main, reach.firstPage(length, main.pageTokens), end)) return false;
    }
    // A page that has grown coarser for want of memory takes no more tokens.
    if (length % main.pageTokens !== 0 && length < (this.#pressed[0] ?? 0) * main.pageTokens) return false;
    for (const tier of this.tiers.keys()) {
      const first = Math.max(this.#tierPagesAt(tier, length), reach.firstPage(length, main.pageTokens));
      if (!hasPages(this.tiers[tier - 1] ?? this.main, first, this.#finerEnd(tier, length))) return false;
    }
    if (!residual) return true;
    if (!residual.isWhole(length, this.#residualStart)) return false;
    const sinkEnd = Math.min(residual.sinkPages, Math.ceil(length / residual.layout.pageTokens));
    if (!hasPages(this.residual, residual.firstReachable(length), sinkEnd)) return false;
    // KIVI quantizes a page of keys from the 16-bit copies when the page is full. To cut into a full page, its copies must be there.
    const pageStart = Math.floor(length / main.pageTokens) * main.pageTokens;
    const wasFull = pageStart + main.pageTokens <= this.#length;
    return !(main.isStoredWhole && pageStart < length && wasFull && this.#residualStart > pageStart);
  }

  /** One past the pages that the tier before `tier` has lost and would have at an earlier length. */
  #finerEnd(tier: number, length: number): number {
    const { main, residual } = this.layer;
    const coded = residual?.codedTokens(length) ?? length;
    const end = tier > 0 ? this.#tierPagesAt(tier - 1, length) : Math.ceil(coded / main.pageTokens);
    return Math.min(end, this.#inTier[tier]!);
  }

  /** `tierPages` of a sequence that is cut to `length`: by the rule, or by what has grown coarser for want of memory. */
  #tierPagesAt(tier: number, length: number): number {
    const { layout } = this.layer.tiers[tier]!;
    const pressed = Math.min(this.#pressed[tier]!, Math.floor(length / layout.pageTokens));
    return Math.max(pressed, pagesInTier(this.layer.tiers[tier]!, length));
  }

  /** Pages of one table and of the marks; a page in both counts once. */
  #countPages(at: number): number {
    const table = this.#tables[at]!;
    return countPages(table) + this.#marks.countApart(at, table);
  }
}
