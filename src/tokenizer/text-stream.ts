/** @file Decodes tokens one by one, and never emits half a character. */

/**
 * A UTF-8 sequence has at most four bytes, so at most three replacement characters at the end can still become a real character.
 * (Byte-level decoders show an incomplete sequence as one such character, byte-fallback decoders as one for each byte.)
 */
const MAX_PENDING = 3;
const REPLACEMENT = "\ufffd";

/**
 * Decodes the latest tokens twice, without and with the newest one, and emits the difference. The window starts one finished
 * token early, because some decoders drop the leading space of a text's first token.
 */
export class TextStream {
  readonly #decode: (ids: readonly number[]) => string;
  #window: number[] = [];
  /** Number of the window's tokens whose text is completely emitted. */
  #finished = 0;
  /** Number of the window's characters that are emitted. */
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

  /** Called when everything is emitted: keeps the newest tokens as context for the next one and forgets the others. */
  #advance(): void {
    this.#window = this.#window.slice(this.#finished);
    this.#finished = this.#window.length;
    this.#emitted = this.#decode(this.#window).length;
  }
}
