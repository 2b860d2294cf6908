/** @file Incremental decoding that never emits half a character. */

/**
 * A UTF-8 sequence has at most four bytes, so at most three replacement characters at the end may still turn into one
 * real character (byte-level decoders show an incomplete sequence as one, byte-fallback decoders as one a byte).
 */
const MAX_PENDING = 3;
const REPLACEMENT = "\ufffd";

/**
 * Decodes a short window of tokens twice, without and with the newest ones, and emits the difference. The window starts
 * one finished token early, because some decoders treat the first token of a text differently (a leading space is dropped).
 */
export class TextStream {
  readonly #decode: (ids: readonly number[]) => string;
  #window: number[] = [];
  /** Tokens of the window that are emitted completely. */
  #finished = 0;
  /** Characters of the window's text already emitted. */
  #emitted = 0;

  constructor(decode: (ids: readonly number[]) => string) {
    this.#decode = decode;
  }

  push(id: number): string {
    this.#window.push(id);
    const text = this.#decode(this.#window);
    let end = text.length;
    while (end > text.length - MAX_PENDING && end > 0 && text[end - 1] === REPLACEMENT) end--;
    const piece = text.slice(this.#emitted, Math.max(end, this.#emitted));
    this.#emitted += piece.length;
    if (end === text.length) this.#advance();
    return piece;
  }

  end(): string {
    const rest = this.#decode(this.#window).slice(this.#emitted);
    this.#window = [];
    this.#finished = 0;
    this.#emitted = 0;
    return rest;
  }

  /** Everything is emitted: keep the newest tokens as context for the next, forget the ones before. */
  #advance(): void {
    this.#window = this.#window.slice(this.#finished);
    this.#finished = this.#window.length;
    this.#emitted = this.#decode(this.#window).length;
  }
}
