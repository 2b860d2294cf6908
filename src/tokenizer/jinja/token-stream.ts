/** @file The tokens of a template, one after the other, for its parsers. */
import type { Token } from "./lexer.ts";
import { TemplateError } from "./template-error.ts";

/** Far below the host's stack. */
const MAX_DEPTH = 150;

export class TokenStream {
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  get token(): Token {
    return this.#tokens[this.#next]!;
  }

  /** The token after the present one. */
  get following(): Token | undefined {
    return this.#tokens[this.#next + 1];
  }

  advance(by = 1): void {
    this.#next += by;
  }

  is(type: Token["type"], value?: string): boolean {
    return this.token.type === type && (value === undefined || this.token.value === value);
  }

  skip(type: Token["type"], value?: string): boolean {
    if (!this.is(type, value)) return false;
    this.#next++;
    return true;
  }

  expect(type: Token["type"], value?: string): Token {
    const token = this.token;
    if (!this.skip(type, value)) this.fail(`expected ${value ?? type}, got ${token.value || token.type}`);
    return token;
  }

  fail(why: string): never {
    throw new TemplateError("syntax", `line ${this.token.line}: ${why}`);
  }

  nested<T>(run: () => T): T {
    if (++this.#depth > MAX_DEPTH) this.fail(`nested more than ${MAX_DEPTH} deep`);
    const result = run();
    this.#depth--;
    return result;
  }
}
