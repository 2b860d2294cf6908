/** @file Which earlier tokens a layer's queries attend to: all of them, or those of a sliding window. */

export class Reach {
  /** Positions a token attends to, its own included; 0 for all. */
  readonly slidingWindow: number;

  constructor(slidingWindow: number) {
    this.slidingWindow = slidingWindow;
  }

  /** The first position that the query at `position` attends to. Later queries never attend to earlier positions than this. */
  firstKey(position: number): number {
    return this.slidingWindow > 0 ? Math.max(0, position - this.slidingWindow + 1) : 0;
  }

  /** Index of the page that holds the first position the query at `position` attends to. */
  firstPage(position: number, pageTokens: number): number {
    return Math.floor(this.firstKey(position) / pageTokens);
  }

  /** Pages that exist when those of `allocated` first positions have been allocated and the sequence has `committed` tokens. */
  numPages(committed: number, allocated: number, pageTokens: number): number {
    return Math.max(0, Math.ceil(allocated / pageTokens) - this.firstPage(committed, pageTokens));
  }

  /** The most pages that a sequence of `length` tokens has between steps, wherever in a page its sliding window begins. */
  mostPages(length: number, pageTokens: number): number {
    const all = Math.ceil(length / pageTokens);
    return this.slidingWindow > 0 ? Math.min(all, Math.ceil(this.slidingWindow / pageTokens) + 1) : all;
  }
}
