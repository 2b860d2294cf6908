/** @file Byte-pair encoding: the pair of lowest rank is merged first, of equal ones the leftmost. */
import { MergeList } from "../../formats/merge-list.ts";
import type { Component } from "./component.ts";
import { Merges } from "./merges.ts";
import type { Model } from "./model.ts";
import { byteTokens, Vocabulary } from "./vocabulary.ts";

/** Pieces whose tokens are remembered, and how long they may be. */
const CACHED_PIECES = 10_000;
const CACHED_LENGTH = 256;
/** Positions of a piece, beside which a rank fits a double. */
const POSITIONS = 2 ** 27;

interface Options {
  readonly unknown: number | undefined;
  readonly fusesUnknown: boolean;
  readonly fallsBackToBytes: boolean;
  readonly ignoresMerges: boolean;
  readonly prefix: string;
  readonly suffix: string;
}

export class Bpe implements Model {
  readonly vocabulary: Vocabulary;
  readonly #merges: Merges;
  readonly #options: Options;
  readonly #cache = new Map<string, readonly number[]>();

  constructor(component: Component) {
    if (component.number("dropout", 0) > 0) throw component.unsupported("dropout, which makes tokens random,");
    this.vocabulary = Vocabulary.from(component);
    const unknown = component.get("unk_token") === undefined ? undefined : component.text("unk_token");
    const unknownId = unknown === undefined ? undefined : this.vocabulary.id(unknown);
    this.#options = {
      unknown: unknownId,
      fusesUnknown: component.boolean("fuse_unk", false),
      fallsBackToBytes: component.boolean("byte_fallback", false),
      ignoresMerges: component.boolean("ignore_merges", false),
      prefix: component.text("continuing_subword_prefix", ""),
      suffix: component.text("end_of_word_suffix", ""),
    };
    this.#merges = readMerges(component, this.vocabulary, this.#options.prefix);
  }

  encode(piece: string): readonly number[] | null {
    const { ignoresMerges } = this.#options;
    const whole = ignoresMerges ? this.vocabulary.id(piece) : undefined;
    if (whole !== undefined) return [whole];
    const known = this.#cache.get(piece);
    if (known) return known;
    const symbols = this.#symbols(piece);
    if (symbols === null) return null;
    const ids = this.#merged(symbols);
    if (piece.length <= CACHED_LENGTH && this.#cache.size < CACHED_PIECES) this.#cache.set(piece, ids);
    return ids;
  }

  /** The tokens of the characters alone; null when one has none. */
  #symbols(piece: string): number[] | null {
    const { unknown, fusesUnknown, fallsBackToBytes, prefix, suffix } = this.#options;
    const symbols: number[] = [];
    let wasUnknown = false;
    let at = 0;
    for (const character of piece) {
      const name = (at > 0 ? prefix : "") + character + (at + character.length === piece.length ? suffix : "");
      at += character.length;
      const id = this.vocabulary.id(name);
      const bytes = id === undefined && fallsBackToBytes ? byteTokens(name, this.vocabulary) : null;
      if (id !== undefined) symbols.push(id);
      else if (bytes) symbols.push(...bytes);
      else if (unknown === undefined) return null;
      else if (!(fusesUnknown && wasUnknown)) symbols.push(unknown);
      wasUnknown = id === undefined && bytes === null;
    }
    return symbols;
  }

  #merged(symbols: number[]): readonly number[] {
    const count = symbols.length;
    const merges = this.#merges;
    const next = Int32Array.from({ length: count }, (_, i) => (i + 1 < count ? i + 1 : -1));
    const previous = Int32Array.from({ length: count }, (_, i) => i - 1);
    // Candidates as rank and position in one number, the smallest first.
    const heap = new Heap();
    const offer = (left: number): void => {
      const right = left < 0 ? -1 : next[left]!;
      if (right < 0) return;
      const slot = merges.find(symbols[left]!, symbols[right]!);
      if (slot >= 0) heap.push(merges.rank(slot) * POSITIONS + left);
    };
    for (let i = 0; i + 1 < count; i++) offer(i);
    for (let entry = heap.pop(); entry >= 0; entry = heap.pop()) {
      const left = entry % POSITIONS;
      const right = next[left]!;
      if (symbols[left] === -1 || right < 0) continue;
      const slot = merges.find(symbols[left]!, symbols[right]!);
      // The pair at this place may have become another one since.
      if (slot < 0 || merges.rank(slot) !== (entry - left) / POSITIONS) continue;
      symbols[left] = merges.result(slot);
      symbols[right] = -1;
      next[left] = next[right]!;
      if (next[left]! >= 0) previous[next[left]!] = left;
      offer(previous[left]!);
      offer(left);
    }
    return symbols.filter((id) => id !== -1);
  }
}

/** `merge_ranks` is no field of a tokenizer.json: where scores stand for merges, several have one rank. */
function readMerges(component: Component, vocabulary: Vocabulary, prefix: string): Merges {
  const ranks = component.get("merge_ranks") as readonly number[] | undefined;
  const known = component.get("merges");
  if (known instanceof MergeList) {
    const { left, right, result, length } = known;
    const merges = new Merges(length);
    for (let i = 0; i < length; i++) merges.add(left[i]!, right[i]!, ranks?.[i] ?? i, result[i]!);
    return merges;
  }
  const list = component.list("merges");
  const merges = new Merges(list.length);
  for (const [place, entry] of list.entries()) {
    const rank = ranks?.[place] ?? place;
    const pair: unknown = typeof entry === "string" ? entry.split(" ") : entry;
    if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string" || typeof pair[1] !== "string") {
      throw component.invalid(`merges[${place}] of two tokens`, entry);
    }
    const [left, right] = pair as [string, string];
    const [first, second] = [vocabulary.id(left), vocabulary.id(right)];
    const whole = vocabulary.id(left + (prefix === "" ? right : right.slice(prefix.length)));
    if (first === undefined || second === undefined || whole === undefined) {
      throw component.invalid(`merges[${place}] of tokens in the vocabulary`, entry);
    }
    merges.add(first, second, rank, whole);
  }
  return merges;
}

/** Smallest number first. */
class Heap {
  readonly #items: number[] = [];

  push(value: number): void {
    const items = this.#items;
    let at = items.length;
    items.push(value);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (items[parent]! <= value) break;
      items[at] = items[parent]!;
      at = parent;
    }
    items[at] = value;
  }

  /** -1 when there is none. */
  pop(): number {
    const items = this.#items;
    const first = items[0] ?? -1;
    const last = items.pop();
    if (last === undefined || items.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= items.length) break;
      if (child + 1 < items.length && items[child + 1]! < items[child]!) child++;
      if (items[child]! >= last) break;
      items[at] = items[child]!;
      at = child;
    }
    items[at] = last;
    return first;
  }
}
