/** @file Pre-tokenizers of tokenizer.json: how a text is cut before the model sees it. */
import { byteCharacters } from "./byte-characters.ts";
import { Component } from "./component.ts";
import { patternOf } from "./normalizers.ts";
import { compilePattern, literalPattern } from "./pattern.ts";
import { behaviorOf, cut, type Part, type Piece, partsByPattern } from "./piece.ts";

export type PreTokenizer = (piece: Piece) => readonly Piece[];

/** GPT-2's. */
const BYTE_LEVEL = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const SPACES = "\\s";
const PUNCTUATION = /[!-/:-@[-`{-~\p{P}]/gu;

/** json: null for none */
export function makePreTokenizer(json: unknown, where: string): PreTokenizer | null {
  if (json === null || json === undefined) return null;
  const component = new Component(json, where);
  const bySpace = () => compilePattern(SPACES, component);
  switch (component.type) {
    case "Sequence": {
      const steps = component.list("pretokenizers").map((step, index) => makePreTokenizer(step, `${where}[${index}]`));
      return (piece) =>
        steps.reduce<readonly Piece[]>((pieces, step) => (step ? pieces.flatMap(step) : pieces), [piece]);
    }
    case "ByteLevel":
      return byteLevel(component);
    case "Split": {
      const pattern = patternOf(component);
      const behavior = behaviorOf(component, "Isolated");
      const invert = component.boolean("invert", false);
      const flip = ([text, isMatch]: Part): Part => [text, !isMatch];
      return (piece) => {
        const parts = partsByPattern(piece.text, pattern);
        return cut(piece, invert ? parts.map(flip) : parts, behavior);
      };
    }
    case "Digits": {
      const behavior = component.boolean("individual_digits", false) ? "Isolated" : "Contiguous";
      return (piece) => cut(piece, partsByPattern(piece.text, /\p{N}/gu), behavior);
    }
    case "Punctuation": {
      const behavior = behaviorOf(component, "Isolated");
      return (piece) => cut(piece, partsByPattern(piece.text, PUNCTUATION), behavior);
    }
    case "Whitespace": {
      const words = compilePattern("\\w+|[^\\w\\s]+", component);
      const flip = ([text, isMatch]: Part): Part => [text, !isMatch];
      return (piece) => cut(piece, partsByPattern(piece.text, words).map(flip), "Removed");
    }
    case "WhitespaceSplit": {
      const spaces = bySpace();
      return (piece) => cut(piece, partsByPattern(piece.text, spaces), "Removed");
    }
    case "BertPreTokenizer": {
      const spaces = bySpace();
      return (piece) =>
        cut(piece, partsByPattern(piece.text, spaces), "Removed").flatMap((word) =>
          cut(word, partsByPattern(word.text, PUNCTUATION), "Isolated"),
        );
    }
    case "CharDelimiterSplit": {
      const delimiter = literalPattern(component.text("delimiter"));
      return (piece) => cut(piece, partsByPattern(piece.text, delimiter), "Removed");
    }
    case "Metaspace":
      return metaspace(component);
    case "FixedLength": {
      const length = component.number("length", 5);
      if (!Number.isInteger(length) || length < 1) throw component.invalid("a length", length);
      const pieces = new RegExp(`[\\s\\S]{1,${length}}`, "gu");
      return (piece) => cut(piece, partsByPattern(piece.text, pieces), "Isolated");
    }
    default:
      throw component.unknownType();
  }
}

function byteLevel(component: Component): PreTokenizer {
  const prefixes = component.boolean("add_prefix_space", true);
  const pattern = component.boolean("use_regex", true) ? compilePattern(BYTE_LEVEL, component) : null;
  return (piece) => {
    const text = prefixes && !piece.text.startsWith(" ") ? ` ${piece.text}` : piece.text;
    const whole = { text, isFirst: piece.isFirst };
    const pieces = pattern ? cut(whole, partsByPattern(text, pattern), "Isolated") : [whole];
    return pieces.map(({ text: part, isFirst }) => ({ text: byteCharacters(part), isFirst }));
  };
}

/** Where a space is put before a text: always, before the first text alone, or never. */
export type PrependScheme = "always" | "first" | "never";

export function prependScheme(component: Component): PrependScheme {
  const scheme = component.text("prepend_scheme", component.boolean("add_prefix_space", true) ? "always" : "never");
  if (scheme !== "always" && scheme !== "first" && scheme !== "never") {
    throw component.unsupported(`prepend_scheme ${scheme.slice(0, 40)}`);
  }
  return scheme;
}

function metaspace(component: Component): PreTokenizer {
  const replacement = component.text("replacement", "▁");
  const scheme = prependScheme(component);
  const splits = component.boolean("split", true);
  const pattern = literalPattern(replacement);
  return ({ text, isFirst }) => {
    let marked = text.replaceAll(" ", replacement);
    const prepends = scheme === "always" || (scheme === "first" && isFirst);
    if (prepends && !marked.startsWith(replacement)) marked = replacement + marked;
    const whole = { text: marked, isFirst };
    return splits ? cut(whole, partsByPattern(marked, pattern), "MergedWithNext") : [whole];
  };
}
