/** @file Decoders of tokenizer.json: tokens become text. */
import { BYTE_OF_CHARACTER } from "./byte-characters.ts";
import { Component } from "./component.ts";
import { patternOf } from "./normalizers.ts";
import { prependScheme } from "./pre-tokenizers.ts";

export type Decoder = (tokens: readonly string[]) => readonly string[];

/** json: null for none */
export function makeDecoder(json: unknown, where: string): Decoder | null {
  if (json === null || json === undefined) return null;
  const component = new Component(json, where);
  switch (component.type) {
    case "Sequence": {
      const steps = component.list("decoders").map((step, index) => makeDecoder(step, `${where}[${index}]`));
      return (tokens) => steps.reduce((result, step) => (step ? step(result) : result), tokens);
    }
    case "ByteLevel":
      return byteLevel;
    case "ByteFallback":
      return byteFallback;
    case "Fuse":
      return (tokens) => [tokens.join("")];
    case "Replace": {
      const pattern = patternOf(component);
      const content = component.text("content");
      return (tokens) => tokens.map((token) => token.replace(pattern, () => content));
    }
    case "Strip": {
      const [content, start, stop] = [component.text("content"), component.number("start"), component.number("stop")];
      return (tokens) => tokens.map((token) => stripped(token, content, start, stop));
    }
    case "Metaspace": {
      const replacement = component.text("replacement", "▁");
      const first = prependScheme(component) === "never" ? " " : "";
      return (tokens) => tokens.map((token, index) => token.replaceAll(replacement, index === 0 ? first : " "));
    }
    case "WordPiece":
      return wordPiece(component.text("prefix", "##"), component.boolean("cleanup", true));
    case "BPEDecoder": {
      const suffix = component.text("suffix", "</w>");
      return (tokens) => tokens.map((token, index) => token.replaceAll(suffix, index === tokens.length - 1 ? "" : " "));
    }
    case "CTC":
      return ctc(component);
    default:
      throw component.unknownType();
  }
}

const ENCODER = new TextEncoder();
const UTF8 = new TextDecoder("utf-8", { ignoreBOM: true });
const EXACT_UTF8 = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** The bytes of a token; one with a character that stands for no byte is text as it is. */
export function byteLevelBytes(token: string): readonly number[] {
  const bytes: number[] = [];
  for (const character of token) {
    const byte = BYTE_OF_CHARACTER.get(character);
    if (byte === undefined) return [...ENCODER.encode(token)];
    bytes.push(byte);
  }
  return bytes;
}

const byteLevel: Decoder = (tokens) => {
  const bytes: number[] = [];
  for (const token of tokens) for (const byte of byteLevelBytes(token)) bytes.push(byte);
  return [UTF8.decode(Uint8Array.from(bytes))];
};

/** A token for one byte, where a vocabulary falls back on those. */
export const BYTE_TOKEN = /^<0x([\da-fA-F]{2})>$/;

/** `<0xE2>` and the like become the text that their bytes are; each byte of a broken one a replacement character. */
const byteFallback: Decoder = (tokens) => {
  const texts: string[] = [];
  let bytes: number[] = [];
  const flush = (): void => {
    if (bytes.length === 0) return;
    try {
      texts.push(EXACT_UTF8.decode(Uint8Array.from(bytes)));
    } catch {
      texts.push(...bytes.map(() => "\ufffd"));
    }
    bytes = [];
  };
  for (const token of tokens) {
    const byte = BYTE_TOKEN.exec(token);
    if (byte) bytes.push(Number.parseInt(byte[1]!, 16));
    else {
      flush();
      texts.push(token);
    }
  }
  flush();
  return texts;
};

function stripped(token: string, content: string, start: number, stop: number): string {
  const characters = [...token];
  let [first, last] = [0, characters.length];
  while (first < start && characters[first] === content) first++;
  while (characters.length - last < stop && last > first && characters[last - 1] === content) last--;
  return characters.slice(first, last).join("");
}

/** As BERT's tokenizers put punctuation and contractions back. */
function cleanedUp(text: string): string {
  const pairs = [" .", " ?", " !", " ,", " ' ", " n't", " 'm", " do not", " 's", " 've", " 're"];
  return pairs.reduce(
    (result, pair) => result.replaceAll(pair, pair === " ' " ? "'" : pair === " do not" ? " don't" : pair.slice(1)),
    text,
  );
}

function wordPiece(prefix: string, cleans: boolean): Decoder {
  return (tokens) =>
    tokens.map((token, index) => {
      const text = index === 0 ? token : token.startsWith(prefix) ? token.replace(prefix, "") : ` ${token}`;
      return cleans ? cleanedUp(text) : text;
    });
}

function ctc(component: Component): Decoder {
  const padding = component.text("pad_token", "<pad>");
  const delimiter = component.text("word_delimiter_token", "|");
  const cleans = component.boolean("cleanup", true);
  return (tokens) =>
    tokens
      .filter((token, index) => token !== tokens[index - 1])
      .map((token) => {
        const text = token.replaceAll(padding, "");
        return cleans ? cleanedUp(text).replaceAll(delimiter, " ") : text;
      })
      .filter((text) => text !== "");
}
