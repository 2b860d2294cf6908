/**
 * @file Looks at a body while it arrives, for what would take long to parse: deep nesting and very many values. The pieces of a body come
 * one at a time, so others are answered between them, which they are not while the whole is parsed.
 */

/** Levels of lists and objects. */
const MAX_DEPTH = 256;
/** Members of lists and objects: twice as many as 256 prompts of 2,048 tokens have. */
const MAX_VALUES = 1 << 20;
/** Members of objects, which take longer. */
const MAX_NAMES = 1 << 17;

const [QUOTE, BACKSLASH, COMMA, COLON] = [0x22, 0x5c, 0x2c, 0x3a];
const [BRACKET, BRACKET_END, BRACE, BRACE_END] = [0x5b, 0x5d, 0x7b, 0x7d];

export class BodyScan {
  #depth = 0;
  #values = 0;
  #names = 0;
  #inText = false;
  #isEscaped = false;

  /** returns: what is too much of it; null where nothing is so far */
  push(bytes: Uint8Array): string | null {
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!;
      if (this.#inText) {
        if (this.#isEscaped) this.#isEscaped = false;
        else if (byte === BACKSLASH) this.#isEscaped = true;
        else if (byte === QUOTE) this.#inText = false;
      } else if (byte === QUOTE) this.#inText = true;
      else if (byte === COMMA) {
        if (++this.#values > MAX_VALUES) return `at most ${MAX_VALUES} values`;
      } else if (byte === COLON) {
        if (++this.#names > MAX_NAMES) return `at most ${MAX_NAMES} members of objects`;
      } else if (byte === BRACKET || byte === BRACE) {
        if (++this.#depth > MAX_DEPTH) return `at most ${MAX_DEPTH} levels of lists and objects`;
      } else if (byte === BRACKET_END || byte === BRACE_END) this.#depth--;
    }
    return null;
  }
}
