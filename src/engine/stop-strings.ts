/** @file Ends a stream of text at a stop string, and holds back text that could be the beginning of one. */

export interface StopResult {
  /** Text that is ready for output. */
  readonly text: string;
  /** True once a stop string has appeared. The text before it has been output, and nothing follows. */
  readonly stopped: boolean;
}

export class StopMatcher {
  readonly #stops: readonly string[];
  #held = "";
  #found: string | null = null;

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  /** The stop string that has appeared. */
  get found(): string | null {
    return this.#found;
  }

  push(piece: string): StopResult {
    if (this.#found !== null) return { text: "", stopped: true };
    const text = this.#held + piece;
    const match = this.#firstMatch(text);
    if (match) {
      this.#found = match.stop;
      this.#held = "";
      return { text: text.slice(0, match.at), stopped: true };
    }
    const keep = this.#partialLength(text);
    this.#held = text.slice(text.length - keep);
    return { text: text.slice(0, text.length - keep), stopped: false };
  }

  /** The text that was held back when the stream ended without a stop string. */
  end(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }

  /**
   * The stop string that ends first, the longest of those that end at the same place. Ordering by the end makes the result
   * independent of how the text was cut into pieces.
   */
  #firstMatch(text: string): { readonly at: number; readonly stop: string } | null {
    let first: { at: number; stop: string } | null = null;
    let end = Number.POSITIVE_INFINITY;
    for (const stop of this.#stops) {
      const at = text.indexOf(stop);
      if (at < 0 || at + stop.length > end || (first && at + stop.length === end && at >= first.at)) continue;
      first = { at, stop };
      end = at + stop.length;
    }
    return first;
  }

  /** Length of the longest suffix of `text` that is the beginning of a stop string. */
  #partialLength(text: string): number {
    let longest = 0;
    for (const stop of this.#stops) {
      for (let n = Math.min(stop.length - 1, text.length); n > longest; n--) {
        if (text.endsWith(stop.slice(0, n))) {
          longest = n;
          break;
        }
      }
    }
    return longest;
  }
}
