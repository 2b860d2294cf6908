/** @file Grammars in llama.cpp's GBNF, written in Lark's syntax, which the engine reads. */
import { TurboQuantError } from "../../errors.ts";

const TOKEN =
  /(?<blank>\s+|#[^\n]*)|(?<text>"(?:[^"\\\n]|\\.)*")|(?<set>\[(?:[^\]\\\n]|\\.)*\])|(?<is>::=)|(?<count>\{\d*(?:,\d*)?\})|(?<sign>[()|*+?])|(?<any>\.)|(?<name>[A-Za-z][\w-]*)/y;

interface Token {
  readonly kind: string;
  readonly text: string;
}

/**
 * The rule `root` becomes `start`, the others keep their names as far as Lark allows them.
 * @throws TurboQuantError invalid_argument — a character that begins nothing or that there is not, or no rule `root`
 */
export function larkFromGbnf(gbnf: string): string {
  const tokens = tokensOf(gbnf);
  const names = new Map<string, string>();
  const nameOf = (name: string): string => {
    let own = names.get(name);
    if (own === undefined) {
      // A number keeps names apart that differ only in what Lark does not have.
      own = name === "root" ? "start" : `r${names.size}_${name.toLowerCase().replaceAll("-", "_")}`;
      names.set(name, own);
    }
    return own;
  };
  let lark = "";
  let hasRoot = false;
  for (const [index, { kind, text }] of tokens.entries()) {
    if (kind === "is") continue;
    if (kind === "name" && tokens[index + 1]?.kind === "is") {
      hasRoot ||= text === "root";
      lark += `\n${nameOf(text)}:`;
      continue;
    }
    lark +=
      kind === "sign" || kind === "count" ? (/[(|]/.test(text) ? ` ${text}` : text) : ` ${atom(kind, text, nameOf)}`;
  }
  if (!hasRoot) throw new TurboQuantError("invalid_argument", "expected a rule named root, got none");
  return lark.trimStart();
}

function tokensOf(gbnf: string): Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < gbnf.length) {
    const at = TOKEN.lastIndex;
    const groups = TOKEN.exec(gbnf)?.groups;
    if (!groups) {
      const line = gbnf.slice(0, at).split("\n").length;
      throw new TurboQuantError(
        "invalid_argument",
        `line ${line}: unexpected ${JSON.stringify(gbnf.slice(at, at + 12))}`,
      );
    }
    const [kind, text] = Object.entries(groups).find(([, value]) => value !== undefined)!;
    if (kind !== "blank") tokens.push({ kind, text });
  }
  return tokens;
}

function atom(kind: string, text: string, nameOf: (name: string) => string): string {
  switch (kind) {
    case "text":
      return JSON.stringify(unescaped(text.slice(1, -1)));
    case "set":
      // Signs that mean operations on sets in the engine's regular expressions.
      return `/[${text.slice(1, -1).replace(/\\.|[[/&~]/g, (part) => (part.length > 1 ? part : `\\${part}`))}]/`;
    case "any":
      return "/(?s:.)/";
    default:
      return nameOf(text);
  }
}

const MAX_CODE_POINT = 0x10ffff;
const NAMED_ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };

const unescaped = (text: string): string =>
  text.replace(/\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|(.))/g, (_, x, u, long, other: string) => {
    const digits = x ?? u ?? long;
    if (digits === undefined) return NAMED_ESCAPES[other] ?? other;
    const code = Number.parseInt(digits, 16);
    if (code <= MAX_CODE_POINT) return String.fromCodePoint(code);
    throw new TurboQuantError(
      "invalid_argument",
      `expected characters up to \\U0010FFFF, the last that there is, got \\U${digits}`,
    );
  });
