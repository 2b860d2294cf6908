/**
 * @file Which positions of a layer have 16-bit copies beside their codes: the first tokens (attention sinks, arXiv 2309.17453)
 * and the most recent ones (the residual window of KIVI, arXiv 2402.02750). This is the one place of the rule.
 *
 * Copies lie in small pages of their own. Pages of the sinks stay; pages of the window are given back once no query to come
 * can read them. The query at position i reads copies of positions below `sinks` and of (i − window, i].
 */
import type { PageLayout } from "../../quant/page-layout.ts";

export class ResidualWindow {
  readonly sinks: number;
  readonly window: number;
  readonly layout: PageLayout;
  /** Pages that hold sinks. */
  readonly sinkPages: number;

  constructor(sinks: number, window: number, layout: PageLayout) {
    this.sinks = sinks;
    this.window = window;
    this.layout = layout;
    this.sinkPages = Math.ceil(sinks / layout.pageTokens);
  }

  /** Whether appends write copies into the page that begins at position `pageStart`. */
  isWritten(pageStart: number): boolean {
    return this.window > 0 || pageStart < this.sinks;
  }

  /**
   * The first position whose copy stays once `length` tokens are committed, sinks aside: the beginning of the page with the
   * first position that the query at `length` reads.
   */
  startAt(length: number): number {
    if (this.window === 0) return length;
    const { pageTokens } = this.layout;
    return Math.floor(Math.max(0, length - this.window + 1) / pageTokens) * pageTokens;
  }

  /** Whether a query at position `query` reads the copy of `key`. copiesFrom: `KvState.exactStart` */
  reads(query: number, key: number, copiesFrom: number): boolean {
    return key < this.sinks || (key > query - this.window && key >= copiesFrom);
  }

  /** Whether the copies from `copiesFrom` on are all that a sequence of `length` tokens would have. */
  isWhole(length: number, copiesFrom: number): boolean {
    return length === 0 || this.window === 0 || copiesFrom <= Math.max(0, length - this.window + 1);
  }

  /** Indices of the pages with a row below `length` that may be read: those of the sinks, and from `copiesFrom` on. */
  pageIndices(length: number, copiesFrom: number): number[] {
    const { pageTokens } = this.layout;
    return Array.from({ length: Math.ceil(length / pageTokens) }, (_, index) => index).filter((index) => {
      const isWindow = copiesFrom < length && (index + 1) * pageTokens > copiesFrom;
      return index < this.sinkPages || isWindow;
    });
  }

  /** Pages that are there with `reserved` positions made present, of which `committed` are part of the sequence. */
  numPages(committed: number, reserved: number): number {
    const present = Math.ceil(reserved / this.layout.pageTokens);
    if (this.window === 0) return Math.min(present, this.sinkPages);
    const first = this.startAt(committed) / this.layout.pageTokens;
    return present - Math.max(0, Math.min(first, present) - this.sinkPages);
  }

  /** Most pages of a sequence of `length` tokens between steps, wherever its window begins inside a page. */
  mostPages(length: number): number {
    const windowPages = this.window > 0 ? Math.ceil(this.window / this.layout.pageTokens) + 1 : 0;
    return Math.min(Math.ceil(length / this.layout.pageTokens), this.sinkPages + windowPages);
  }
}
