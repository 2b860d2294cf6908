/** @file Tokens and their ids. */
import { isJsonObject } from "../../formats/json-file.ts";
import { TextList } from "../../formats/text-list.ts";
import { TokenList } from "../../formats/token-list.ts";
import type { Component } from "./component.ts";

/** Far above any vocabulary; an id sizes tables. */
const MAX_ID = 1 << 24;

export class Vocabulary {
  readonly #list: TokenList;
  /** Ids by places in the list, and places + 1 by ids; null where they are the same. */
  readonly #order: { readonly ids: Int32Array; readonly places: Int32Array } | null;
  /** Those that are not in the list. */
  readonly #added = new Map<string, number>();
  readonly #addedTexts = new Map<number, string>();
  /** Largest id + 1. */
  size: number;

  /** ids: of the list's tokens, where they are not their places; each once */
  private constructor(list: TokenList, ids: Int32Array | null) {
    this.#list = list;
    this.size = list.length;
    this.#order = null;
    if (!ids) return;
    this.size = ids.reduce((most, id) => Math.max(most, id + 1), 0);
    const places = new Int32Array(this.size);
    for (const [place, id] of ids.entries()) places[id] = place + 1;
    this.#order = { ids, places };
  }

  /** A token that comes twice has the last of its ids. */
  static of(tokens: readonly string[], ids: readonly unknown[], component: Component): Vocabulary {
    const own = new Int32Array(tokens.length);
    let isInOrder = true;
    for (const [place, id] of ids.entries()) {
      if (typeof id !== "number" || !Number.isInteger(id) || id < 0 || id >= MAX_ID) {
        throw component.invalid(`an id below ${MAX_ID} for token ${JSON.stringify(tokens[place]!.slice(0, 40))}`, id);
      }
      own[place] = id;
      isInOrder &&= id === place;
    }
    return new Vocabulary(new TokenList(TextList.of(tokens)), isInOrder ? null : own);
  }

  static from(component: Component): Vocabulary {
    const vocab = component.get("vocab");
    if (vocab instanceof TokenList) return new Vocabulary(vocab, null);
    if (!isJsonObject(vocab)) throw component.invalid("vocab, an object of tokens and ids", vocab);
    const vocabulary = Vocabulary.of(Object.keys(vocab), Object.values(vocab), component);
    // Of vocabularies out of GGUF files, where ids may share a text.
    for (const { id, content } of (component.get("repeated_tokens") ?? []) as { id: number; content: string }[]) {
      vocabulary.add(content, id);
    }
    return vocabulary;
  }

  id(token: string): number | undefined {
    const place = this.#list.find(token);
    if (place >= 0) return this.#order ? this.#order.ids[place] : place;
    return this.#added.size > 0 ? this.#added.get(token) : undefined;
  }

  token(id: number): string | undefined {
    const added = this.#addedTexts.get(id);
    if (added !== undefined) return added;
    const place = this.#order ? (this.#order.places[id] ?? 0) - 1 : id;
    return Number.isInteger(place) && place >= 0 && place < this.#list.length ? this.#list.text(place) : undefined;
  }

  /** A token that is found by its id, and by its text if no other has that. */
  add(token: string, id: number): void {
    if (this.id(token) === undefined) this.#added.set(token, id);
    if (this.token(id) !== token) this.#addedTexts.set(id, token);
    this.size = Math.max(this.size, id + 1);
  }

  /** The most UTF-16 units that a token is written with. */
  get longest(): number {
    return [...this.#addedTexts.values()].reduce((most, token) => Math.max(most, token.length), this.#list.longest);
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
