/** @file The unigram model: of all ways to cut a text into tokens the one with the largest sum of scores. */
import type { Component } from "./component.ts";
import type { Model } from "./model.ts";
import { byteTokens, Vocabulary } from "./vocabulary.ts";

/** How far an unknown character's score is below the lowest one. */
const UNKNOWN_PENALTY = 10;

interface Node {
  readonly next: Map<string, Node>;
  /** -1 where no token ends. */
  id: number;
}

export class Unigram implements Model {
  readonly vocabulary: Vocabulary;
  readonly #scores: readonly number[];
  readonly #root: Node = { next: new Map(), id: -1 };
  readonly #unknown: number | undefined;
  readonly #unknownScore: number;
  readonly #fallsBackToBytes: boolean;

  constructor(component: Component) {
    const entries = component.list("vocab").map((entry, id) => {
      if (!Array.isArray(entry) || typeof entry[0] !== "string" || typeof entry[1] !== "number") {
        throw component.invalid(`vocab[${id}] of a token and its score`, entry);
      }
      return { token: entry[0], score: entry[1], id };
    });
    const [tokens, ids] = [entries.map(({ token }) => token), entries.map(({ id }) => id)];
    this.vocabulary = Vocabulary.of(tokens, ids, component);
    this.#scores = entries.map(({ score }) => score);
    this.#unknown = component.get("unk_id") === undefined ? undefined : component.number("unk_id");
    if (this.#unknown !== undefined && this.vocabulary.token(this.#unknown) === undefined) {
      throw component.invalid("unk_id in the vocabulary", this.#unknown);
    }
    this.#fallsBackToBytes = component.boolean("byte_fallback", false);
    this.#unknownScore = this.#scores.reduce((least, score) => Math.min(least, score), 0) - UNKNOWN_PENALTY;
    for (const { token, id } of entries) this.#addToTrie(token, id);
  }

  #addToTrie(token: string, id: number): void {
    let node = this.#root;
    for (const unit of token.split("")) {
      let next = node.next.get(unit);
      if (!next) {
        next = { next: new Map(), id: -1 };
        node.next.set(unit, next);
      }
      node = next;
    }
    if (token !== "") node.id = id;
  }

  encode(piece: string): readonly number[] | null {
    const length = piece.length;
    const best = new Float64Array(length + 1).fill(Number.NEGATIVE_INFINITY);
    const from = new Int32Array(length + 1).fill(-1);
    /** Token that ends at a place; -1 for an unknown character. */
    const ids = new Int32Array(length + 1);
    best[0] = 0;
    for (let start = 0; start < length; ) {
      const width = piece.codePointAt(start)! > 0xffff ? 2 : 1;
      const offer = (end: number, score: number, id: number): void => {
        if (from[end] !== -1 && !(best[start]! + score > best[end]!)) return;
        best[end] = best[start]! + score;
        from[end] = start;
        ids[end] = id;
      };
      let hasCharacter = false;
      let node: Node | undefined = this.#root;
      for (let end = start; end < length; ) {
        node = node.next.get(piece[end]!);
        if (!node) break;
        end++;
        if (node.id < 0) continue;
        offer(end, this.#scores[node.id]!, node.id);
        if (end - start === width) hasCharacter = true;
      }
      if (!hasCharacter) offer(start + width, this.#unknownScore, -1);
      start += width;
    }
    return this.#path(piece, from, ids);
  }

  /** Unknown characters side by side are one text. */
  #path(piece: string, from: Int32Array, ids: Int32Array): number[] | null {
    const parts: number[][] = [];
    for (let end = piece.length; end > 0; ) {
      let start = from[end]!;
      if (this.#isUnknown(ids[end]!)) {
        while (start > 0 && this.#isUnknown(ids[start]!)) start = from[start]!;
        const unknown = this.#spelled(piece.slice(start, end));
        if (unknown === null) return null;
        parts.push(unknown);
      } else parts.push([ids[end]!]);
      end = start;
    }
    return parts.reverse().flat();
  }

  #isUnknown(id: number): boolean {
    return id === -1 || id === this.#unknown;
  }

  #spelled(text: string): number[] | null {
    const known = this.vocabulary.id(text);
    if (known !== undefined) return [known];
    const bytes = this.#fallsBackToBytes ? byteTokens(text, this.vocabulary) : null;
    return bytes ?? (this.#unknown === undefined ? null : [this.#unknown]);
  }
}
