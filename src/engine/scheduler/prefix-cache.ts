/**
 * @file Sequences that are kept after use and found again by the tokens they begin with.
 *
 * An entry is a fork of a sequence and not a set of pages, because its residual window belongs to exactly this length: cut back
 * further, attention would read codes where a prompt run alone reads 16-bit copies. So a hit gives the same numbers as
 * computing the prefix again. Forks of one prompt share their pages; an entry alone costs only its window.
 */
import type { Sequence } from "../../cache/sequence.ts";
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import { type HashedTokens, KeptPages, type PageListener } from "./kept-pages.ts";
import { pageHashes, ROOT_HASH } from "./page-hashes.ts";

export interface PrefixEntry {
  readonly sequence: Sequence;
  /** Number of tokens in the sequence; a hit saves computing them. */
  readonly length: number;
  /** All tokens of the conversation, including those generated beyond the cache; null for an entry inside a prompt. */
  readonly tokens: readonly number[] | null;
  /** Hash of the whole pages. */
  readonly hash: string;
  /** The tokens after the last whole page. */
  readonly tail: readonly number[];
  /** False once the entry was evicted or removed. */
  isLive: boolean;
}

export class PrefixCache {
  readonly #byHash = new Map<string, PrefixEntry[]>();
  /** Ends of prompts and conversations, and all entries that were hit, the least recently used first. */
  readonly #kept = new Set<PrefixEntry>();
  /** Entries at page ends inside prompts. Only a prompt that differs from there on can use them, so they are evicted first. */
  readonly #interior = new Set<PrefixEntry>();
  readonly #pages: KeptPages | null;
  #evictions = 0;

  /** listener: is told of pages that prompts can find */
  constructor(listener?: PageListener) {
    this.#pages = listener ? new KeptPages(listener) : null;
  }

  get size(): number {
    return this.#kept.size + this.#interior.size;
  }

  get evictions(): number {
    return this.#evictions;
  }

  /** Entries with all their tokens, the least recently used first. */
  get kept(): Iterable<PrefixEntry> {
    return this.#kept;
  }

  /**
   * The longest entry that is a prefix of `tokens` and leaves at least `minRest` of them to compute; null when there is none.
   *
   * hashes: `pageHashes(tokens)` · ropeLength: that of a prompt of these tokens (`Sequence.ropeLength`) · root: of `pageHashes`
   */
  find(
    tokens: readonly number[],
    hashes: readonly string[],
    minRest: number,
    ropeLength = 0,
    root: string = ROOT_HASH,
  ): PrefixEntry | null {
    const limit = tokens.length - minRest;
    for (let pages = Math.min(hashes.length, Math.floor(Math.max(0, limit) / PAGE_TOKENS)); pages >= 0; pages--) {
      const start = pages * PAGE_TOKENS;
      let best: PrefixEntry | null = null;
      for (const entry of this.#byHash.get(pages === 0 ? root : hashes[pages - 1]!) ?? []) {
        const fits =
          entry.length <= limit &&
          entry.sequence.ropeLength === ropeLength &&
          entry.tail.every((token, i) => tokens[start + i] === token);
        if (fits && entry.length > (best?.length ?? 0)) best = entry;
      }
      if (best) return best;
    }
    return null;
  }

  /**
   * Marks an entry as used now. An entry inside a prompt that is hit is
   * where prompts differ, so from now on it is kept like whole prompts.
   */
  touch(entry: PrefixEntry): void {
    this.#interior.delete(entry);
    this.#kept.delete(entry);
    this.#kept.add(entry);
  }

  /**
   * Keeps a fork of a sequence that ends at a page end.
   *
   * hash: of its pages · isInterior: whether the prompt continues after it · prompt: whose beginning it is, for who listens
   */
  addPageEnd(sequence: Sequence, hash: string, isInterior: boolean, prompt?: HashedTokens): void {
    // Recurrent states are kept only at the last page end of a step, so this length may not be restorable.
    if (sequence.keepable(sequence.length) < sequence.length) return;
    const { ropeLength } = sequence;
    const known = this.#byHash
      .get(hash)
      ?.find((own) => own.tail.length === 0 && own.sequence.ropeLength === ropeLength);
    if (known) {
      if (!isInterior) this.touch(known);
      return;
    }
    const entry: PrefixEntry = {
      sequence: sequence.forkCommitted(),
      length: sequence.length,
      tokens: null,
      hash,
      tail: [],
      isLive: true,
    };
    this.#index(entry);
    if (prompt) this.#pages?.add(entry, prompt, sequence.length / PAGE_TOKENS);
    (isInterior ? this.#interior : this.#kept).add(entry);
  }

  /**
   * Takes over a sequence of any length.
   *
   * tokens: its tokens, and perhaps some beyond it · known: hashes of its first pages · isFindable: whether prompts may continue it · root: of `pageHashes`
   */
  add(
    sequence: Sequence,
    tokens: readonly number[],
    known: readonly string[],
    isFindable: boolean,
    root: string = ROOT_HASH,
  ): PrefixEntry {
    const { length } = sequence;
    const hashes = pageHashes(tokens.slice(0, length), known, root);
    const hash = hashes.at(-1) ?? root;
    const tail = tokens.slice(hashes.length * PAGE_TOKENS, length);
    const entry: PrefixEntry = { sequence, length, tokens, hash, tail, isLive: true };
    if (isFindable && length > 0) {
      const { ropeLength } = sequence;
      const twin = this.#byHash
        .get(hash)
        ?.find((other) => other.sequence.ropeLength === ropeLength && sameTokens(other.tail, tail));
      // Before the other goes, so that pages of both stay.
      this.#pages?.add(entry, { ids: tokens, hashes, root }, hashes.length);
      if (twin) this.remove(twin);
      this.#index(entry);
    }
    this.#kept.add(entry);
    return entry;
  }

  /** Removes an entry and releases its pages. */
  remove(entry: PrefixEntry): void {
    if (!entry.isLive) return;
    entry.isLive = false;
    this.#kept.delete(entry);
    this.#interior.delete(entry);
    const siblings = this.#byHash.get(entry.hash)?.filter((other) => other !== entry);
    if (siblings && siblings.length > 0) this.#byHash.set(entry.hash, siblings);
    else if (siblings) this.#byHash.delete(entry.hash);
    entry.sequence.release();
    this.#pages?.remove(entry);
  }

  /** Removes the entry that is least likely to be used. returns: false when there was none */
  evict(): boolean {
    for (const candidates of [this.#interior, this.#kept]) {
      for (const entry of candidates) {
        this.remove(entry);
        this.#evictions++;
        return true;
      }
    }
    return false;
  }

  clear(): void {
    this.#pages?.clear();
    for (const entry of [...this.#interior, ...this.#kept]) this.remove(entry);
  }

  #index(entry: PrefixEntry): void {
    const siblings = this.#byHash.get(entry.hash);
    if (siblings) siblings.push(entry);
    else this.#byHash.set(entry.hash, [entry]);
  }
}

const sameTokens = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((token, i) => token === b[i]);
