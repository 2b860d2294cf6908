/** @file Cuts a template into text and the words of its tags, with Jinja's rules of white space (`trim_blocks`, `lstrip_blocks`). */
import { TemplateError } from "./template-error.ts";

export interface Token {
  /** `open` and `close` are `{{`, `}}`, `{%`, `%}`. */
  readonly type: "text" | "open" | "close" | "name" | "string" | "integer" | "float" | "operator" | "end";
  readonly value: string;
  readonly line: number;
}

/** What Python's `\s` and strip() take for white space. */
export const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const SPACES = new RegExp(`[${SPACE}]*`, "y");
const ONLY_SPACES = new RegExp(`^[${SPACE}]*$`);

const OPENING = /\{\{|\{%|\{#/g;
const RAW = new RegExp(`[${SPACE}]*raw[${SPACE}]*(-%\\}|%\\})`, "y");
const END_RAW = new RegExp(`\\{%([-+]?)[${SPACE}]*endraw[${SPACE}]*([-+]?)%\\}`, "g");
const NAME = /[\p{ID_Start}_][\p{ID_Continue}]*/uy;
const NUMBER = /(?:0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[\da-fA-F])+|\d(?:_?\d)*)/y;
const FLOAT = /\d(?:_?\d)*(?:\.\d(?:_?\d)*(?:[eE][+-]?\d(?:_?\d)*)?|[eE][+-]?\d(?:_?\d)*)/y;
const STRING = /'(?:[^'\\]|\\[\s\S])*'|"(?:[^"\\]|\\[\s\S])*"/y;
const OPERATORS = /\/\/|\*\*|==|!=|<=|>=|[+\-/*%~[\](){}<>=.:|,;]/y;

const CLOSERS: Readonly<Record<string, string>> = { "{": "}", "[": "]", "(": ")" };

export function tokenize(template: string): Token[] {
  const lines = template.replace(/\r\n?/g, "\n");
  // One newline at the end belongs to the file, not to the text.
  return new Lexer(lines.endsWith("\n") ? lines.slice(0, -1) : lines).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #line = 1;
  /** Where `#line` was counted. */
  #counted = 0;
  /** Whether what came before the text at `#at` ended with a newline. */
  #startsLine = true;

  constructor(source: string) {
    this.#source = source;
  }

  run(): Token[] {
    for (;;) {
      OPENING.lastIndex = this.#at;
      const opening = OPENING.exec(this.#source);
      if (!opening) {
        this.#text(this.#source.slice(this.#at));
        this.#push("end", "", this.#source.length);
        return this.#tokens;
      }
      this.#tag(opening[0], opening.index);
    }
  }

  #tag(kind: string, start: number): void {
    const sign = this.#source[start + 2];
    const signed = sign === "-" || (sign === "+" && kind !== "{{");
    const text = this.#source.slice(this.#at, start);
    this.#text(this.#before(text, kind, signed ? sign : ""), text);
    this.#at = start + (signed ? 3 : 2);
    if (kind === "{#") {
      this.#comment(start);
      return;
    }
    if (kind === "{%" && this.#raw()) return;
    this.#push("open", kind, start);
    this.#words(kind === "{{" ? "}}" : "%}", start);
  }

  /** Text before a tag, without the white space that the tag takes. */
  #before(text: string, kind: string, sign: string): string {
    if (sign === "-") return withoutTrailing(text);
    if (sign === "+" || kind === "{{") return text;
    const line = text.lastIndexOf("\n") + 1;
    const begins = line > 0 || this.#startsLine;
    return begins && ONLY_SPACES.test(text.slice(line)) ? text.slice(0, line) : text;
  }

  #text(text: string, whole = text): void {
    if (whole !== "") this.#startsLine = false;
    if (text !== "") this.#push("text", text, this.#at);
  }

  #comment(start: number): void {
    const begin = this.#at;
    const end = this.#source.indexOf("#}", begin);
    if (end < 0) this.#fail("the comment has no end", start);
    // A comment's only sign may be the one that began it.
    const sign = end > begin ? this.#source[end - 1]! : "";
    this.#at = end + 2;
    this.#after(sign, true);
  }

  #raw(): boolean {
    RAW.lastIndex = this.#at;
    const begin = RAW.exec(this.#source);
    if (!begin) return false;
    const start = this.#at;
    this.#at += begin[0].length;
    if (begin[1] === "-%}") this.#skipSpaces();
    END_RAW.lastIndex = this.#at;
    const end = END_RAW.exec(this.#source);
    if (!end) return this.#fail("raw has no endraw", start);
    const text = this.#source.slice(this.#at, end.index);
    this.#startsLine = this.#source[this.#at - 1] === "\n";
    this.#text(this.#before(text, "{%", end[1]!), text);
    this.#at = end.index + end[0].length;
    this.#startsLine = false;
    this.#after(end[2]!, true);
    return true;
  }

  /** White space behind a tag: all of it after `-`, one newline after a block or comment. */
  #after(sign: string, trimsNewline: boolean): void {
    const start = this.#at;
    if (sign === "-") this.#skipSpaces();
    else if (trimsNewline && sign !== "+" && this.#source[this.#at] === "\n") this.#at++;
    this.#startsLine = this.#at > start && this.#source[this.#at - 1] === "\n";
  }

  #skipSpaces(): void {
    SPACES.lastIndex = this.#at;
    this.#at += SPACES.exec(this.#source)![0].length;
  }

  #words(close: string, start: number): void {
    const open: string[] = [];
    for (;;) {
      this.#skipSpaces();
      const at = this.#at;
      if (at >= this.#source.length) this.#fail(`the tag has no ${close}`, start);
      if (open.length === 0) {
        const sign = this.#source[at]!;
        const signed = sign === "-" || (sign === "+" && close === "%}");
        if (this.#source.startsWith(close, signed ? at + 1 : at)) {
          this.#push("close", close, at);
          this.#at = at + close.length + (signed ? 1 : 0);
          this.#after(signed ? sign : "", close === "%}");
          return;
        }
      }
      this.#word(open);
    }
  }

  #word(open: string[]): void {
    const at = this.#at;
    const match = (pattern: RegExp): string | undefined => {
      pattern.lastIndex = at;
      return pattern.exec(this.#source)?.[0];
    };
    let found: string | undefined;
    // In `a.0.1` stand two indices.
    if (this.#source[at - 1] !== "." && (found = match(FLOAT))) this.#push("float", found.replaceAll("_", ""), at);
    else if ((found = match(NUMBER))) this.#push("integer", found.replaceAll("_", ""), at);
    else if ((found = match(NAME))) this.#push("name", found, at);
    else if ((found = match(STRING))) this.#push("string", unescaped(found.slice(1, -1)), at);
    else if ((found = match(OPERATORS))) {
      if (found in CLOSERS) open.push(CLOSERS[found]!);
      else if ((found === "}" || found === "]" || found === ")") && open.pop() !== found) {
        this.#fail(`unexpected ${found}`, at);
      }
      this.#push("operator", found, at);
    } else this.#fail(`unexpected character ${JSON.stringify(this.#source[at])}`, at);
    this.#at += found!.length;
  }

  #push(type: Token["type"], value: string, at: number): void {
    this.#tokens.push({ type, value, line: this.#lineAt(at) });
  }

  #lineAt(at: number): number {
    for (; this.#counted < at; this.#counted++) if (this.#source[this.#counted] === "\n") this.#line++;
    return this.#line;
  }

  #fail(why: string, at: number): never {
    throw new TemplateError("syntax", `line ${this.#lineAt(at)}: ${why}`);
  }
}

const ONE_SPACE = new RegExp(`[${SPACE}]`);

/** By characters, because a pattern would begin anew at every space of a run. */
function withoutTrailing(text: string): string {
  let end = text.length;
  while (end > 0 && ONE_SPACE.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\n": "",
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** Escapes of Python's strings; others stay as they are. */
function unescaped(text: string): string {
  if (!text.includes("\\")) return text;
  return text.replace(
    /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|([\s\S]))/g,
    (whole, x, u, long, octal, other) => {
      if (other === undefined) return codePoint(x ?? u ?? long, octal);
      if (other in ESCAPES) return ESCAPES[other]!;
      return other === "\\" || other === "'" || other === '"' ? other : whole;
    },
  );
}

function codePoint(hex: string | undefined, octal: string): string {
  const code = hex === undefined ? Number.parseInt(octal, 8) : Number.parseInt(hex, 16);
  if (code > 0x10ffff) throw new TemplateError("syntax", `no character has the number ${code}`);
  return String.fromCodePoint(code);
}
