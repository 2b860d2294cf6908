/** @file How large the parts of a sequence are: expected, to weigh a fetch, and at most, to refuse what is none. */
import type { CacheParts } from "../../cache/cache-parts.ts";
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import { VALUE_OVERHEAD } from "./stored-value.ts";

/** Of an entry in the list of a sealed part, and of the list. */
const ENTRY_BYTES = 16;
/** The longest description of a sequence. */
const MOST_HEADER_BYTES = 1 << 20;

export class PartSizes {
  /** Whether pages of codes are ever sealed. */
  readonly hasSealed: boolean;
  /** The most bytes of the value of a sealed part: a page of each layer. */
  readonly mostSealed: number;
  readonly #cache: CacheParts;
  readonly #fixedBytes: number;
  /** Of the sealed parts of a page of tokens, in the mean. */
  readonly #pageBytes: number;
  /** Of the last end that was seen. */
  #endBytes: number;

  constructor(cache: CacheParts) {
    const { layers, slots } = cache;
    this.#cache = cache;
    this.#fixedBytes = slots.reduce((sum, { fixedBytes }) => sum + fixedBytes, 0);
    this.hasSealed = layers.some(({ tiers }) => tiers.length === 0);
    const pages = layers.reduce((sum, { main }) => sum + main.numBytes, 0);
    this.#pageBytes = layers.reduce((sum, { main, tokensPerRow }) => sum + main.numBytes / tokensPerRow, 0);
    this.mostSealed = VALUE_OVERHEAD + ENTRY_BYTES * (slots.length + 1) + pages;
    this.#endBytes = this.#fixedBytes + this.#residualBytes(PAGE_TOKENS);
  }

  /** Expected bytes of all parts of a prefix. */
  bytesOf(pages: number): number {
    return pages * this.#pageBytes + this.#endBytes;
  }

  /** The most bytes of the value of an end of `length` tokens. Formats with tiers have all their pages there. */
  mostEnd(length: number): number {
    const codes = this.#cache.layers.reduce(
      (sum, { main, tiers, residual }) =>
        sum +
        (tiers.length > 0 ? length / PAGE_TOKENS : Math.ceil((residual?.window ?? 0) / PAGE_TOKENS) + 2) *
          main.numBytes,
      0,
    );
    return VALUE_OVERHEAD + MOST_HEADER_BYTES + this.#fixedBytes + this.#residualBytes(length) + codes;
  }

  onEnd(numBytes: number): void {
    this.#endBytes = numBytes;
  }

  #residualBytes(length: number): number {
    return this.#cache.layers.reduce(
      (sum, { residual }) => sum + (residual ? residual.mostPages(length) * residual.layout.numBytes : 0),
      0,
    );
  }
}
