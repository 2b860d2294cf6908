/**
 * @file Patterns of tokenizer.json, which are Oniguruma's (Ruby syntax, Unicode), as regular expressions of JavaScript with the
 * flag `v`. What has no counterpart is refused.
 */
import { endlessText } from "./backtracking.ts";
import type { Component } from "./component.ts";

const SPACE = "\\t-\\r\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const WORD = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
const CLASSES: Readonly<Record<string, string>> = {
  d: "\\p{Nd}",
  h: "0-9a-fA-F",
  s: SPACE,
  w: WORD,
};
const POSIX: Readonly<Record<string, string>> = {
  alnum: "\\p{Alphabetic}\\p{Nd}",
  alpha: "\\p{Alphabetic}",
  ascii: "\\0-\\x7f",
  blank: "\\t\\p{Zs}",
  cntrl: "\\p{Cc}",
  digit: "\\p{Nd}",
  lower: "\\p{Lowercase}",
  punct: "\\p{P}\\p{S}",
  space: SPACE,
  upper: "\\p{Uppercase}",
  word: WORD,
  xdigit: "0-9a-fA-F",
};
/** Any character; in V8 `[^]` with the flag `v` cannot be repeated. */
const ANY = "[\\0-\\u{10ffff}]";
const ANCHORS: Readonly<Record<string, string>> = {
  A: `(?<!${ANY})`,
  B: `(?:(?<![${WORD}])(?![${WORD}])|(?<=[${WORD}])(?=[${WORD}]))`,
  Z: `(?=\\n?(?!${ANY}))`,
  b: `(?:(?<![${WORD}])(?=[${WORD}])|(?<=[${WORD}])(?![${WORD}]))`,
  z: `(?!${ANY})`,
};
const CONTROLS: Readonly<Record<string, string>> = {
  a: "\\x07",
  e: "\\x1b",
  f: "\\f",
  n: "\\n",
  r: "\\r",
  t: "\\t",
  v: "\\v",
};
/** Letters that fold to an ASCII letter besides its other case. */
const FOLDED: Readonly<Record<string, string>> = { k: "\\u212a", s: "\\u017f" };

export function compilePattern(source: string, component: Component): RegExp {
  const refuse = (what: string): never => {
    throw component.unsupported(`the pattern ${JSON.stringify(source.slice(0, 120))} (${what})`);
  };
  const translation = new Translation(source, refuse);
  const text = translation.whole();
  let pattern: RegExp;
  try {
    pattern = new RegExp(text, "gv");
  } catch (cause) {
    return refuse(cause instanceof Error ? cause.message.slice(0, 120) : "malformed");
  }
  const endless = endlessText(source, text, translation.repeated);
  return endless === null
    ? pattern
    : refuse(`it takes forever on texts such as ${JSON.stringify(endless)}, whose parts it matches in too many ways`);
}

/** A text as a pattern that matches it alone. */
export function literalPattern(text: string): RegExp {
  return new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "gu");
}

class Translation {
  readonly #source: string;
  readonly #refuse: (what: string) => never;
  /** Groups that are repeated without limit, translated. */
  readonly repeated: string[] = [];
  #at = 0;
  #foldsCase = false;
  #groups = 0;

  constructor(source: string, refuse: (what: string) => never) {
    this.#source = source;
    this.#refuse = refuse;
  }

  whole(): string {
    const text = this.#alternatives();
    if (this.#at < this.#source.length) this.#refuse("a parenthesis without its other");
    return text;
  }

  #is(text: string): boolean {
    return this.#source.startsWith(text, this.#at);
  }

  #skip(text: string): boolean {
    if (!this.#is(text)) return false;
    this.#at += text.length;
    return true;
  }

  #next(): string {
    const character = String.fromCodePoint(this.#source.codePointAt(this.#at)!);
    this.#at += character.length;
    return character;
  }

  /** Up to a closing parenthesis or the end. */
  #alternatives(): string {
    let text = "";
    while (this.#at < this.#source.length && !this.#is(")")) {
      if (this.#skip("|")) text += "|";
      else text += this.#quantified();
    }
    return text;
  }

  #quantified(): string {
    let atom = this.#atom();
    for (;;) {
      const braces = /^\{(\d*)(,?)(\d*)\}/.exec(this.#source.slice(this.#at, this.#at + 24));
      let quantifier = "";
      if (this.#skip("*")) quantifier = "*";
      else if (this.#skip("+")) quantifier = "+";
      else if (this.#skip("?")) quantifier = "?";
      else if (braces && (braces[1] !== "" || braces[3] !== "")) {
        this.#at += braces[0].length;
        quantifier = `{${braces[1] === "" ? "0" : braces[1]}${braces[2]}${braces[3]}}`;
      } else return atom;
      if (atom.startsWith("(") && isLarge(quantifier)) this.repeated.push(`${atom}${quantifier}`);
      if (this.#skip("?")) atom = `${atom}${quantifier}?`;
      // Braces with a plus are repeated, the others keep what they matched.
      else if (!quantifier.startsWith("{") && this.#skip("+")) atom = this.#kept(`${atom}${quantifier}`);
      else atom = `${atom}${quantifier}`;
      if (/^[*+?{]/.test(this.#source.slice(this.#at))) atom = `(?:${atom})`;
    }
  }

  /** A match that is not gone back into: a lookahead is entered once. */
  #kept(text: string): string {
    const name = `kept${this.#groups++}`;
    return `(?:(?=(?<${name}>${text}))\\k<${name}>)`;
  }

  #atom(): string {
    const character = this.#next();
    switch (character) {
      case "(":
        return this.#group();
      case "[":
        return this.#set();
      case ".":
        return "[^\\n]";
      case "^":
        return "(?<![^\\n])";
      case "$":
        return `(?=\\n|(?!${ANY}))`;
      case "\\":
        return this.#escape();
      default:
        return this.#literal(character);
    }
  }

  #literal(character: string): string {
    if (this.#foldsCase && character.toLowerCase() !== character.toUpperCase()) return `[${folded(character)}]`;
    return /[\\^$.*+?()[\]{}|/]/.test(character) ? `\\${character}` : character;
  }

  #group(): string {
    const foldsCase = this.#foldsCase;
    let open = "(?:";
    let isKept = false;
    if (this.#skip("?")) {
      const kind = /^(?::|=|!|<=|<!|>|<[A-Za-z_]\w*>|([imx]*)(?:-([imx]+))?([:)]))/.exec(this.#source.slice(this.#at));
      if (!kind) return this.#refuse("a group of another kind");
      this.#at += kind[0].length;
      const [whole, on, off, end] = kind;
      if (end !== undefined) {
        if (/[mx]/.test(`${on}${off ?? ""}`)) this.#refuse("flags other than i");
        if (on?.includes("i")) this.#foldsCase = true;
        if (off?.includes("i")) this.#foldsCase = false;
        // Flags without a group of their own hold to the end of the one around them.
        if (end === ")") return "";
      } else if (whole === ">") isKept = true;
      else if (["=", "!", "<=", "<!"].includes(whole)) open = `(?${whole}`;
    }
    const inner = this.#alternatives();
    if (!this.#skip(")")) this.#refuse("a group without its end");
    this.#foldsCase = foldsCase;
    return isKept ? this.#kept(inner) : `${open}${inner})`;
  }

  #escape(): string {
    if (this.#at >= this.#source.length) this.#refuse("a backslash at the end");
    const character = this.#next();
    if (character in ANCHORS) return ANCHORS[character]!;
    if (character === "R") return this.#kept("\\r\\n|[\\n-\\r\\x85\\u2028\\u2029]");
    const set = this.#setEscape(character);
    if (set !== null) return `[${set}]`;
    if (/[XGKkg1-9]/.test(character)) this.#refuse(`\\${character}`);
    return this.#literal(this.#character(character));
  }

  /** The inside of a set that an escape stands for; null for those of one character. */
  #setEscape(character: string): string | null {
    if (character in CLASSES) return CLASSES[character]!;
    const lower = character.toLowerCase();
    if (character !== lower && lower in CLASSES) return `[^${CLASSES[lower]}]`;
    if (lower !== "p") return null;
    const property = /^\{(\^?)([^}]*)\}/.exec(this.#source.slice(this.#at)) ?? this.#refuse("\\p without a name");
    this.#at += property[0].length;
    const isNegated = (character === "P") !== (property[1] === "^");
    return this.#property(property[2]!.trim(), isNegated);
  }

  #property(name: string, isNegated: boolean): string {
    const posix = POSIX[name.toLowerCase()];
    const candidates = posix
      ? [posix]
      : [`\\p{${name}}`, `\\p{sc=${name}}`, `\\p{${name[0]?.toUpperCase()}${name.slice(1)}}`];
    for (const candidate of candidates) {
      try {
        new RegExp(`[${candidate}]`, "v");
        return isNegated ? `[^${candidate}]` : candidate;
      } catch {
        // Not a name of this kind.
      }
    }
    return this.#refuse(`\\p{${name}}`);
  }

  /** The character that an escape stands for. */
  #character(character: string): string {
    const hex = { x: /^(?:\{([\da-fA-F]{1,8})\}|([\da-fA-F]{1,2}))/, u: /^([\da-fA-F]{4})/ }[character];
    const digits = hex?.exec(this.#source.slice(this.#at));
    if (digits) {
      this.#at += digits[0].length;
      const code = Number.parseInt(digits[1] ?? digits[2]!, 16);
      return code <= 0x10ffff ? String.fromCodePoint(code) : this.#refuse(`\\${character}${digits[0]}`);
    }
    if (character === "0") return "\0";
    if (character in CONTROLS)
      return JSON.parse(`"${CONTROLS[character]!.replace(/\\x/, "\\u00").replace("\\v", "\\u000b")}"`) as string;
    return /[A-Za-z]/.test(character) ? this.#refuse(`\\${character}`) : character;
  }

  /** A set in brackets, whose opening one is read. Intersections are of sets of their own. */
  #set(): string {
    const negated = this.#skip("^") ? "^" : "";
    const operands: string[] = [];
    let inside = "";
    for (let isFirst = true; ; isFirst = false) {
      if (this.#at >= this.#source.length) this.#refuse("a set without its end");
      if (this.#is("]") && !isFirst) break;
      if (this.#skip("&&")) {
        operands.push(`[${inside}]`);
        inside = "";
      } else inside += this.#member();
    }
    this.#at++;
    if (operands.length === 0) return `[${negated}${inside}]`;
    return `[${negated}${[...operands, `[${inside}]`].join("&&")}]`;
  }

  #member(): string {
    const posix = /^\[:(\^?)([a-z]+):\]/.exec(this.#source.slice(this.#at));
    if (posix) {
      this.#at += posix[0].length;
      const set = POSIX[posix[2]!] ?? this.#refuse(posix[0]);
      return posix[1] ? `[^${set}]` : set;
    }
    if (this.#skip("[")) return this.#set();
    const from = this.#setCharacter();
    if (from.set !== undefined) return from.set;
    const isRange = this.#is("-") && !this.#is("-]") && !this.#is("-&&") && !this.#is("-[");
    if (!isRange) return this.#foldsCase ? folded(from.character) : inSet(from.character);
    this.#at++;
    const to = this.#setCharacter();
    if (to.set !== undefined) return `${inSet(from.character)}\\-${to.set}`;
    const range = `${inSet(from.character)}-${inSet(to.character)}`;
    return this.#foldsCase ? range + otherCases(from.character, to.character) : range;
  }

  #setCharacter(): { character: string; set?: string } {
    const character = this.#next();
    if (character !== "\\") return { character };
    const escaped = this.#next();
    if (escaped === "b") return { character: "\b" };
    const set = this.#setEscape(escaped);
    return set === null ? { character: this.#character(escaped) } : { character: "", set };
  }
}

/** Whether there are more ways to repeat something than can be tried one by one. */
function isLarge(quantifier: string): boolean {
  const [, , comma, most] = /^\{(\d*)(,?)(\d*)\}$/.exec(quantifier) ?? [];
  if (comma === undefined) return quantifier !== "?";
  return comma === "," && (most === "" || Number(most) > 4);
}

/** A character inside of brackets. */
function inSet(character: string): string {
  const code = character.codePointAt(0)!;
  return /[\p{L}\p{N}]/u.test(character) ? character : `\\u{${code.toString(16)}}`;
}

function folded(character: string): string {
  const all = new Set([character, character.toLowerCase(), character.toUpperCase()]);
  const single = [...all].filter((one) => [...one].length === 1);
  return single.map(inSet).join("") + (FOLDED[character.toLowerCase()] ?? "");
}

/** The other cases of the ASCII letters of a range. */
function otherCases(from: string, to: string): string {
  let text = "";
  for (let code = 65; code < 123; code++) {
    const letter = String.fromCharCode(code);
    if (/[A-Za-z]/.test(letter) && letter >= from && letter <= to) text += folded(letter);
  }
  return text;
}
