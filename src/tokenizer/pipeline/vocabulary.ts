/** @file Tokens and their ids. */
import { isJsonObject } from "../../formats/json-file.ts";
import type { Component } from "./component.ts";

/** Far above any vocabulary; an id sizes tables. */
const MAX_ID = 1 << 24;

export class Vocabulary {
  readonly #ids: Map<string, number>;
  readonly #tokens: (string | undefined)[] = [];

  /** A token that comes twice has the last of its ids. */
  constructor(entries: Iterable<readonly [string, unknown]>, component: Component) {
    this.#ids = new Map();
    for (const [token, id] of entries) {
      if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= MAX_ID) {
        throw component.invalid(`an id below ${MAX_ID} for token ${JSON.stringify(token.slice(0, 40))}`, id);
      }
      this.#ids.set(token, id);
      this.#tokens[id] = token;
    }
  }

  static from(component: Component): Vocabulary {
    const vocab = component.get("vocab");
    if (!isJsonObject(vocab)) throw component.invalid("vocab, an object of tokens and ids", vocab);
    const vocabulary = new Vocabulary(Object.entries(vocab), component);
    // Of vocabularies out of GGUF files, where ids may share a text.
    for (const { id, content } of (component.get("repeated_tokens") ?? []) as { id: number; content: string }[]) {
      vocabulary.#tokens[id] = content;
    }
    return vocabulary;
  }

  id(token: string): number | undefined {
    return this.#ids.get(token);
  }

  token(id: number): string | undefined {
    return this.#tokens[id];
  }

  /** A token that is found by its id, and by its text if no other has that. */
  add(token: string, id: number): void {
    if (!this.#ids.has(token)) this.#ids.set(token, id);
    this.#tokens[id] = token;
  }

  /** Largest id + 1. */
  get size(): number {
    return this.#tokens.length;
  }

  /** The most UTF-16 units that a token is written with. */
  get longest(): number {
    return this.#tokens.reduce((most, token) => Math.max(most, token?.length ?? 0), 0);
  }

  ids(): IterableIterator<readonly [string, number]> {
    return this.#ids.entries();
  }
}

const ENCODER = new TextEncoder();
const BYTE_NAMES = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);

/** The tokens that spell a text byte by byte; null when the vocabulary lacks one. */
export function byteTokens(text: string, vocabulary: Vocabulary): number[] | null {
  const ids: number[] = [];
  for (const byte of ENCODER.encode(text)) {
    const id = vocabulary.id(BYTE_NAMES[byte]!);
    if (id === undefined) return null;
    ids.push(id);
  }
  return ids;
}
