/** @file JSON with comments and trailing commas, read with errors that name line and column. */
import { TurboQuantError } from "../errors.ts";

const BLANK = /(?:\s|\/\/[^\n]*|\/\*[\s\S]*?\*\/|\uFEFF)*/y;
const STRING = /"(?:[^"\\\n]|\\.)*"/y;
const LITERAL = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

class Reader {
  readonly #text: string;
  readonly #name: string;
  #at = 0;

  constructor(text: string, name: string) {
    this.#text = text;
    this.#name = name;
  }

  document(): unknown {
    const value = this.#value();
    this.#match(BLANK);
    if (this.#at < this.#text.length) this.#fail("the end");
    return value;
  }

  #value(): unknown {
    this.#match(BLANK);
    switch (this.#text[this.#at]) {
      case "{":
        return this.#object();
      case "[":
        return this.#list("]", () => this.#value());
      case '"':
        return this.#string();
      default: {
        const literal = this.#match(LITERAL);
        return literal ? JSON.parse(literal) : this.#fail("a value");
      }
    }
  }

  #object(): object {
    const entries = this.#list("}", (): [string, unknown] => {
      const name = this.#string();
      this.#match(BLANK);
      if (this.#text[this.#at] !== ":") this.#fail("a colon");
      this.#at++;
      return [name, this.#value()];
    });
    // `fromEntries` makes "__proto__" an ordinary name, which an assignment would not.
    return Object.fromEntries(entries);
  }

  /** Parses items up to the closing bracket; the last one may be followed by a comma. */
  #list<T>(close: string, item: () => T): T[] {
    const items: T[] = [];
    this.#at++;
    for (;;) {
      this.#match(BLANK);
      if (this.#text[this.#at] === close) break;
      items.push(item());
      this.#match(BLANK);
      if (this.#text[this.#at] === ",") this.#at++;
      else if (this.#text[this.#at] !== close) this.#fail(`a comma or ${close}`);
    }
    this.#at++;
    return items;
  }

  #string(): string {
    const start = this.#at;
    const text = this.#match(STRING) || this.#fail("a text in double quotes");
    try {
      return JSON.parse(text);
    } catch {
      this.#at = start;
      return this.#fail("a text that JSON knows how to read");
    }
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? "";
    this.#at += found.length;
    return found;
  }

  #fail(expected: string): never {
    const before = this.#text.slice(0, this.#at).split("\n");
    const [line, column] = [before.length, before.at(-1)!.length + 1];
    const got = this.#at < this.#text.length ? JSON.stringify(this.#text[this.#at]) : "the end of the file";
    throw new TurboQuantError(
      "invalid_file",
      `${this.#name}, line ${line}, column ${column}: expected ${expected}, got ${got}; the file is JSON, comments are allowed`,
      { file: this.#name, line, column },
    );
  }
}

/**
 * Parses JSON that may contain line and block comments, and commas before a closing bracket.
 *
 * name: of the file, for messages
 * @throws TurboQuantError invalid_file — not such JSON
 */
export function parseJsonc(text: string, name: string): unknown {
  return new Reader(text, name).document();
}
