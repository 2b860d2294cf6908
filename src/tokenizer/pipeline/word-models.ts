/** @file Models of whole words: WordLevel, and WordPiece, which takes the longest beginning that it knows, again and again. */
import type { Component } from "./component.ts";
import type { Model } from "./model.ts";
import { Vocabulary } from "./vocabulary.ts";

export class WordLevel implements Model {
  readonly vocabulary: Vocabulary;
  readonly #unknown: number | undefined;

  constructor(component: Component) {
    this.vocabulary = Vocabulary.from(component);
    this.#unknown = this.vocabulary.id(component.text("unk_token", ""));
  }

  encode(piece: string): readonly number[] | null {
    const id = this.vocabulary.id(piece) ?? this.#unknown;
    return id === undefined ? null : [id];
  }
}

export class WordPiece implements Model {
  readonly vocabulary: Vocabulary;
  readonly #unknown: number | undefined;
  readonly #prefix: string;
  readonly #longest: number;

  constructor(component: Component) {
    this.vocabulary = Vocabulary.from(component);
    this.#unknown = this.vocabulary.id(component.text("unk_token", "[UNK]"));
    this.#prefix = component.text("continuing_subword_prefix", "##");
    this.#longest = component.number("max_input_chars_per_word", 100);
  }

  encode(piece: string): readonly number[] | null {
    const unknown = this.#unknown === undefined ? null : [this.#unknown];
    const characters = [...piece];
    if (characters.length > this.#longest) return unknown;
    const ids: number[] = [];
    for (let start = 0; start < characters.length; ) {
      let end = characters.length;
      let id: number | undefined;
      for (; end > start; end--) {
        id = this.vocabulary.id((start > 0 ? this.#prefix : "") + characters.slice(start, end).join(""));
        if (id !== undefined) break;
      }
      if (id === undefined) return unknown;
      ids.push(id);
      start = end;
    }
    return ids;
  }
}
