/** @file How far back the tokens of a layer look: all the way, or over a sliding window. */

export class Reach {
  /** Positions a token attends to, its own included; 0 for all. */
  readonly slidingWindow: number;

  constructor(slidingWindow: number) {
    this.slidingWindow = slidingWindow;
  }

  /** The first position that the query at `position` attends to; no later query looks further back. */
  firstKey(position: number): number {
    return this.slidingWindow > 0 ? Math.max(0, position - this.slidingWindow + 1) : 0;
  }

  /** The page with that position. */
  firstPage(position: number, pageTokens: number): number {
    return Math.floor(this.firstKey(position) / pageTokens);
  }

  /** Pages that are there with `reserved` positions made present, of which `committed` are part of the sequence. */
  numPages(committed: number, reserved: number, pageTokens: number): number {
    return Math.ceil(reserved / pageTokens) - this.firstPage(committed, pageTokens);
  }

  /** Most pages of a sequence of `length` tokens between steps, wherever its window begins inside a page. */
  mostPages(length: number, pageTokens: number): number {
    const all = Math.ceil(length / pageTokens);
    return this.slidingWindow > 0 ? Math.min(all, Math.ceil(this.slidingWindow / pageTokens) + 1) : all;
  }
}
