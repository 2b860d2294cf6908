/**
 * @file Which positions of a layer are held more finely than in codes: the first tokens (attention sinks, arXiv 2309.17453) and
 * the most recent ones (the residual window of KIVI, arXiv 2402.02750). All code that needs this rule asks this class.
 *
 * Rows of these positions, called copies here, have small pages of their own. Pages of sinks stay; a page of the window is released once no
 * later query can read it. The query at position i reads the copies of positions below `sinks` and of (i − window, i], as far as its
 * sliding window reaches.
 *
 * Copies of 16 bits stand beside the codes, which a token has from the first. A window of 8 bits stands alone: a token gets its codes, made of
 * its 8 bits, in the step behind which no query reads it from the window.
 */
import type { LayerKvFormat } from "../../quant/kv-format.ts";
import type { PageLayout } from "../../quant/page-layout.ts";
import type { Reach } from "./reach.ts";

export class ResidualWindow {
  readonly sinks: number;
  readonly window: number;
  readonly layout: PageLayout;
  /** Whether tokens of the window have no codes beside. Without a window the sinks of 8 bits are copies like those of 16. */
  readonly isAlone: boolean;
  /** Number of pages that hold sinks. */
  readonly sinkPages: number;
  readonly #reach: Reach;

  constructor(format: Pick<LayerKvFormat, "sinks" | "window" | "windowBits">, layout: PageLayout, reach: Reach) {
    const { sinks, window, windowBits } = format;
    this.#reach = reach;
    this.sinks = sinks;
    this.window = window;
    this.layout = layout;
    this.isAlone = windowBits === 8 && window > 0;
    this.sinkPages = Math.ceil(sinks / layout.pageTokens);
  }

  /** Whether an append writes copies into the page that begins at position `pageStart`. */
  isWritten(pageStart: number): boolean {
    return this.window > 0 || pageStart < this.sinks;
  }

  /** The first page that the query at position `length` can reach. */
  firstReachable(length: number): number {
    return this.#reach.firstPage(length, this.layout.pageTokens);
  }

  /**
   * The first position of the window whose copy is kept when `length` tokens are committed: the start of the page that holds the
   * first position which the query at `length` reads.
   */
  startAt(length: number): number {
    if (this.window === 0) return length;
    const { pageTokens } = this.layout;
    const first = Math.floor(Math.max(0, length - this.window + 1) / pageTokens);
    return Math.max(first, this.firstReachable(length)) * pageTokens;
  }

  /** Whether the query at position `query` reads the copy of position `key`. copiesFrom: see `KvState.residualStart` */
  reads(query: number, key: number, copiesFrom: number): boolean {
    return key < this.sinks || (key > query - this.window && key >= copiesFrom);
  }

  /**
   * Number of first tokens that have codes in a sequence of `length` tokens: all, or, behind a window that stands alone, those that the query
   * at `length` does not read from it. copiesFrom: see `KvState.residualStart`; tokens before it have codes in any case, but for those that
   * a shorter sliding window has left before they could leave this one
   */
  codedTokens(length: number, copiesFrom = 0): number {
    if (!this.isAlone) return length;
    const { slidingWindow } = this.#reach;
    const passed = Math.max(0, length - this.window + 1);
    return slidingWindow > 0 && slidingWindow < this.window ? passed : Math.max(passed, Math.min(copiesFrom, length));
  }

  /** Whether the copies from position `copiesFrom` on include all that a sequence of `length` tokens has. */
  isWhole(length: number, copiesFrom: number): boolean {
    if (length === 0 || this.window === 0) return true;
    return copiesFrom <= Math.max(0, length - this.window + 1, this.#reach.firstKey(length));
  }

  /** Indices of the pages with a readable row below `length`: pages of sinks, and those that reach past `copiesFrom`. */
  pageIndices(length: number, copiesFrom: number): number[] {
    const { pageTokens } = this.layout;
    const first = this.firstReachable(length);
    return Array.from({ length: Math.ceil(length / pageTokens) }, (_, index) => index).filter((index) => {
      const isWindow = copiesFrom < length && (index + 1) * pageTokens > copiesFrom;
      return index >= first && (index < this.sinkPages || isWindow);
    });
  }

  /** Pages that exist when positions up to `reserved` have been allocated and `committed` of them are part of the sequence. */
  numPages(committed: number, reserved: number): number {
    const present = Math.ceil(reserved / this.layout.pageTokens);
    const first = this.firstReachable(committed);
    const sinks = Math.max(0, Math.min(present, this.sinkPages) - first);
    if (this.window === 0) return sinks;
    const windowFrom = Math.max(this.sinkPages, this.startAt(committed) / this.layout.pageTokens);
    return sinks + Math.max(0, present - windowFrom);
  }

  /** The most pages that a sequence of `length` tokens has between steps, wherever in a page its window begins. */
  mostPages(length: number): number {
    const windowPages = this.window > 0 ? Math.ceil(this.window / this.layout.pageTokens) + 1 : 0;
    return Math.min(Math.ceil(length / this.layout.pageTokens), this.sinkPages + windowPages);
  }
}
