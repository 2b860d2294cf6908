/** @file Normalizers of tokenizer.json. */
import { byteCharacters } from "./byte-characters.ts";
import { charsMap } from "./chars-map.ts";
import { Component } from "./component.ts";
import { compilePattern, literalPattern } from "./pattern.ts";

export type Normalizer = (text: string) => string;

const SPACE = /[\t-\r\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/u;
const LEADING = new RegExp(`^${SPACE.source}+`, "u");

/** json: null for none */
export function makeNormalizer(json: unknown, where: string): Normalizer | null {
  if (json === null || json === undefined) return null;
  const component = new Component(json, where);
  switch (component.type) {
    case "Sequence": {
      const steps = component.list("normalizers").map((step, index) => makeNormalizer(step, `${where}[${index}]`));
      return (text) => steps.reduce((result, step) => (step ? step(result) : result), text);
    }
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD": {
      const form = component.type;
      return (text) => text.normalize(form);
    }
    case "Lowercase":
      return lowercase;
    case "Strip": {
      const [left, right] = [component.boolean("strip_left", true), component.boolean("strip_right", true)];
      return (text) => stripped(text, left, right);
    }
    case "StripAccents":
      return (text) => text.replace(/\p{M}/gu, "");
    case "Prepend": {
      const prefix = component.text("prepend");
      return (text) => (text === "" ? text : prefix + text);
    }
    case "Replace": {
      const pattern = patternOf(component);
      const content = component.text("content");
      return (text) => text.replace(pattern, () => content);
    }
    case "Nmt":
      return nmt;
    case "ByteLevel":
      return byteCharacters;
    case "Precompiled":
      return charsMap(component);
    case "BertNormalizer":
      return bert(component);
    default:
      throw component.unknownType();
  }
}

/** {"String": text} or {"Regex": pattern} */
export function patternOf(component: Component): RegExp {
  const pattern = component.part("pattern");
  if (pattern.get("Regex") !== undefined) return compilePattern(pattern.text("Regex"), component);
  return literalPattern(pattern.text("String"));
}

/** Character by character: no final sigma. */
const lowercase: Normalizer = (text) => {
  let lower = "";
  for (const character of text) lower += character.toLowerCase();
  return lower;
};

function stripped(text: string, left: boolean, right: boolean): string {
  const rest = left ? text.replace(LEADING, "") : text;
  if (!right) return rest;
  let end = rest.length;
  while (end > 0 && SPACE.test(rest[end - 1]!)) end--;
  return rest.slice(0, end);
}

/** Code points that SentencePiece's nmt rule drops, and those that become a space. */
function nmt(text: string): string {
  let result = "";
  for (const character of text) {
    const code = character.codePointAt(0)!;
    const isDropped =
      (code >= 1 && code <= 8) ||
      code === 0xb ||
      (code >= 0xe && code <= 0x1f) ||
      code === 0x7f ||
      code === 0x8f ||
      code === 0x9f;
    if (isDropped) continue;
    const isSpace =
      code === 9 ||
      code === 0xa ||
      code === 0xc ||
      code === 0xd ||
      code === 0x1680 ||
      (code >= 0x200b && code <= 0x200f) ||
      code === 0x2028 ||
      code === 0x2029 ||
      code === 0x2581 ||
      code === 0xfeff ||
      code === 0xfffd;
    result += isSpace ? " " : character;
  }
  return result;
}

const IDEOGRAPH =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

function bert(component: Component): Normalizer {
  const cleans = component.boolean("clean_text", true);
  const separates = component.boolean("handle_chinese_chars", true);
  const lowers = component.boolean("lowercase", true);
  const accents = component.boolean("strip_accents", lowers);
  return (text) => {
    let result = text;
    if (cleans) {
      // Controls but for tabs and line ends; every white space becomes a space.
      result = result
        .replace(/[\0\ufffd]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}\p{Cs}]/gu, "")
        .replace(new RegExp(SPACE.source, "gu"), " ");
    }
    if (separates) result = result.replace(IDEOGRAPH, " $& ");
    if (accents) result = result.normalize("NFD").replace(/\p{Mn}/gu, "");
    return lowers ? lowercase(result) : result;
  };
}
