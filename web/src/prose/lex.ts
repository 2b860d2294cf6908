/** @file Markdown as tokens: GitHub's flavour by marked, and mathematics in the four notations that models write. */
import { Marked, type Token, type TokenizerExtension, type Tokens } from "marked";

export interface MathToken {
  readonly type: "math";
  readonly raw: string;
  readonly text: string;
  readonly isDisplay: boolean;
}

/** On lines of its own: what is between would be read as lists and headings else. */
const BLOCK = /^ {0,3}(?:\$\$\s*\n?([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\])[ \t]*(?:\n|$)/;
/** A sum of money is no mathematics: the text touches both dollars, and no digit follows. */
const DOLLARS = /^\$(?![\s$])((?:\\.|[^\\$\n])*?[^\s\\$])\$(?!\d)/;
const DISPLAY = /^(?:\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\])/;
const ROUND = /^\\\(([\s\S]+?)\\\)/;

const mathToken = (raw: string, text: string, isDisplay: boolean): MathToken => ({
  type: "math",
  raw,
  text: text.trim(),
  isDisplay,
});

const blockMath: TokenizerExtension = {
  name: "math",
  level: "block",
  start: (source) => /(?:^|\n) {0,3}(?:\$\$|\\\[)/.exec(source)?.index,
  tokenizer(source) {
    const match = BLOCK.exec(source);
    return match ? mathToken(match[0], match[1] ?? match[2]!, true) : undefined;
  },
};

const inlineMath: TokenizerExtension = {
  name: "math",
  level: "inline",
  start: (source) => /\$|\\[([]/.exec(source)?.index,
  tokenizer(source) {
    const display = DISPLAY.exec(source);
    if (display) return mathToken(display[0], display[1] ?? display[2]!, true);
    const match = ROUND.exec(source) ?? DOLLARS.exec(source);
    return match ? mathToken(match[0], match[1]!, false) : undefined;
  },
};

const marked = new Marked({ gfm: true });
marked.use({ extensions: [blockMath, inlineMath] });

/** Text arrives token by token, so what is not closed yet, such as a fence of code, goes to the end. */
export const lex = (text: string): Token[] => marked.lexer(text);

export const isMath = (token: Token): token is Token & MathToken & Tokens.Generic => token.type === "math";

const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: "\u00a0" };

/** The few references to characters that models write. */
export const withCharacters = (text: string): string =>
  text.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|([a-z]+));/gi, (whole, decimal, hex, name: string | undefined) => {
    if (name) return ENTITIES[name] ?? whole;
    const code = decimal ? Number(decimal) : Number.parseInt(hex, 16);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });

/** An address that a link may have: of the web or of mail. null for scripts, data, and what is no address. */
export function safeAddress(href: string): string | null {
  try {
    const url = new URL(href);
    return ["https:", "http:", "mailto:"].includes(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}
