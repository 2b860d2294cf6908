/**
 * @file Prefixes that several processes share through a store: page ends of prompts are written to it, and fetched for prompts that begin alike.
 *
 * Each page end writes the pages that it sealed. An end (sinks, window, states of fixed size) is many times a page's size in most formats, so ends are
 * written where a prompt ends, where prompts part, and in between so often that they take no more bytes than the pages.
 *
 * Keys need bytes of every tensor (`LLM.weightsDigest`), which are read once, beside the first requests; the first to ask waits for them.
 *
 * Any doubt is a miss: a store that is slow or fails, a value that is damaged, foreign or missing. The prompt is computed then.
 */

import type { Sequence } from "../../cache/sequence.ts";
import { endPart, restoreParts, sealedPart } from "../../cache/shared-parts.ts";
import { TurboQuantError } from "../../errors.ts";
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import type { LLM } from "../llm.ts";
import { FetchPlan, type Prefix } from "./fetch-plan.ts";
import {
  DEFAULT_FETCH_BYTES,
  DEFAULT_QUEUE_BYTES,
  DEFAULT_STORE_TIMEOUT_MS,
  type PageStore,
  type PageStoreOptions,
} from "./page-store.ts";
import { PartSizes } from "./part-sizes.ts";
import { StoreHealth } from "./store-health.ts";
import { type PartKind, StoreKeys } from "./store-keys.ts";
import type { StoreObserver } from "./store-observer.ts";
import { decodeValue } from "./stored-value.ts";
import { within } from "./time-limit.ts";
import { type Parts, WriteQueue } from "./write-queue.ts";

/** Page ends of a prompt that are asked for at once, the longest first. */
const CANDIDATES = 256;
/** Prefixes that are tried, where parts of one are missing. */
const MAX_TRIES = 4;
/** The least limit of time to write a value, for which no request waits: between two steps of a long prompt there are few turns for it. */
const WRITE_TIMEOUT_MS = 60_000;
/** Share of the time of steps that fetches get to go on, as steps keep their thread busy. */
const FETCH_SHARE = 0.05;
const LEAST_TURN_MS = 2;
/** Values that are read at once. */
const READERS = 8;

/** A prompt, as far as it matters here. */
export interface SharedPrompt {
  /** `pageHashes` of its whole pages. */
  readonly hashes: readonly string[];
  /** Page ends that it may continue from. */
  readonly mostPages: number;
  /** Pages that are known here already. */
  readonly localPages: number;
  /** `Decoder.ropeLength` of the prompt. */
  readonly ropeLength: number;
}

export type TakePrefix = (numBytes: number, pages: number, restore: () => Sequence) => void;

interface Found {
  readonly pages: number;
  readonly keys: readonly string[];
  readonly end: Uint8Array;
  readonly sealed: readonly Uint8Array[];
  readonly numBytes: number;
}

export class SharedPrefixes {
  readonly #llm: LLM;
  readonly #options: PageStoreOptions;
  readonly #store: PageStore;
  /** Null until the weights have been looked at; nothing is shared before. */
  #keys: StoreKeys | null = null;
  readonly #known: Promise<StoreKeys | null>;
  readonly #sizes: PartSizes;
  readonly #queue: WriteQueue;
  readonly #health: StoreHealth;
  readonly #plan = new FetchPlan();
  readonly #observer: StoreObserver;
  readonly #timeoutMs: number;
  readonly #ending = new AbortController();
  /** Expected bytes of the fetches at work. */
  #fetching = 0;
  readonly #fetches = new Set<Promise<void>>();

  constructor(llm: LLM, options: PageStoreOptions, observer: StoreObserver = {}) {
    const { store, timeoutMs = DEFAULT_STORE_TIMEOUT_MS, queueBytes = DEFAULT_QUEUE_BYTES, onNote } = options;
    this.#llm = llm;
    this.#options = options;
    this.#store = store;
    this.#sizes = new PartSizes(llm.cache);
    this.#observer = observer;
    this.#timeoutMs = timeoutMs;
    this.#health = new StoreHealth({ onNote, now: options.now, onBack: () => this.#queue.forget() });
    this.#queue = new WriteQueue({
      ...{ store, health: this.#health, timeoutMs: Math.max(timeoutMs, WRITE_TIMEOUT_MS), queueBytes },
      onWrite: (outcome, bytes) => observer.onStoreWrite?.(outcome, bytes),
    });
    this.#known = llm.weightsDigest().then(
      (digest) => {
        this.#keys = new StoreKeys(llm, digest);
        return this.#keys;
      },
      (error: unknown) => {
        onNote?.(`is not used: the weights could not be looked at (${error instanceof Error ? error.message : error})`);
        return null;
      },
    );
  }

  /** Bytes that wait to be written. */
  get queueBytes(): number {
    return this.#queue.numBytes;
  }

  /**
   * Writes what a sequence has at a page end. Never throws: what goes wrong here is no fault of the step that came to the page end.
   *
   * hash: of the tokens up to it · isEnd: whether prompts are expected to continue from here
   */
  keep(sequence: Sequence, hash: string, isEnd: boolean): void {
    const { ropeLength } = sequence;
    const keys = this.#keys;
    if (ropeLength === null || keys === null || this.#ending.signal.aborted) return;
    // Another server, with memory for them, has these pages finer.
    if (sequence.isPressed) return;
    try {
      this.#keep(sequence, (kind) => keys.of(kind, hash, ropeLength), isEnd);
    } catch (error) {
      this.#options.onNote?.(`was not given a page end (${error instanceof Error ? error.message : error})`);
      this.#observer.onStoreWrite?.("failed", 0);
    }
  }

  #keep(sequence: Sequence, keyOf: (kind: PartKind) => string, isEnd: boolean): void {
    const { length } = sequence;
    const isNew = (key: string): boolean => !this.#queue.isKnown(key);
    // Parts list all pages of a sequence, which is not done for what is stored already, as behind each hit.
    const kinds: readonly PartKind[] = this.#sizes.hasSealed ? ["sealed", "end"] : ["end"];
    if (!kinds.some((kind) => isNew(keyOf(kind)))) return;
    const own = (from: Sequence): Parts => {
      const sealed = [keyOf("sealed"), sealedPart(from, length - PAGE_TOKENS)] as const;
      const parts = this.#sizes.hasSealed ? [sealed] : [];
      // A state of fixed size is known at the last page end of a step alone.
      if (sequence.keepable(length) < length) return parts;
      const end = [keyOf("end"), endPart(from, this.#llm.snapshotIdentity)] as const;
      this.#sizes.onEnd(end[1].numBytes);
      const pages = Math.ceil(end[1].numBytes / sealed[1].numBytes);
      return isEnd || (length / PAGE_TOKENS) % pages === 0 ? [...parts, end] : parts;
    };
    const parts = own(sequence).filter(([key]) => isNew(key));
    if (parts.length === 0) return;
    this.#queue.add(parts, () => {
      const held = sequence.forkCommitted();
      const keys = new Set(parts.map(([key]) => key));
      return { parts: own(held).filter(([key]) => keys.has(key)), release: () => held.release() };
    });
  }

  /**
   * Fetches the longest prefix of a prompt that the store has, if that is worth it. Never rejects.
   *
   * msPerToken: what computing a token of a prompt takes; null when it is not known · take: given the bytes and pages of what was found, and a
   * function that restores the sequence in this cache, which throws where it cannot
   */
  fetch(prompt: SharedPrompt, msPerToken: number | null, take: TakePrefix): Promise<void> {
    const fetching = this.#fetch(prompt, msPerToken, take);
    this.#fetches.add(fetching);
    return fetching.finally(() => this.#fetches.delete(fetching));
  }

  /** Called between steps, which take `stepMs`: leaves the thread to fetches at work for a while, until one of them is over. */
  async giveTime(stepMs: number): Promise<void> {
    if (this.#fetches.size === 0) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const time = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, Math.max(LEAST_TURN_MS, FETCH_SHARE * stepMs));
    });
    await Promise.race([time, ...this.#fetches]);
    clearTimeout(timer);
  }

  async #fetch(prompt: SharedPrompt, msPerToken: number | null, take: TakePrefix): Promise<void> {
    const most = this.#prefix(prompt.mostPages, prompt);
    if (most.tokens <= 0) return;
    const keys =
      this.#keys ?? (await within(this.#timeoutMs, this.#ending.signal, () => this.#known).catch(() => null));
    const isRefused = !this.#health.isUp || this.#ending.signal.aborted || !this.#hasRoom(most.bytes);
    if (!keys || isRefused || !this.#isWorth(most, msPerToken)) {
      this.#observer.onStoreFetch?.("skipped", 0, 0, 0);
      return;
    }
    const started = performance.now();
    const ms = (): number => performance.now() - started;
    this.#fetching += most.bytes;
    let finding: Promise<unknown> = Promise.resolve();
    try {
      const found = await within(this.#timeoutMs, this.#ending.signal, (signal) => {
        const own = this.#find(prompt, keys, msPerToken, signal);
        finding = own;
        return own;
      });
      this.#health.onSuccess();
      if (typeof found === "string") this.#observer.onStoreFetch?.(found, 0, 0, ms());
      else {
        const isTaken = this.#isTaken(found, take);
        const tokens = isTaken ? found.pages * PAGE_TOKENS : 0;
        this.#observer.onStoreFetch?.(isTaken ? "hit" : "failed", tokens, found.numBytes, ms());
      }
    } catch (error) {
      if (!this.#ending.signal.aborted) this.#health.onFault(error);
      this.#observer.onStoreFetch?.("failed", 0, 0, ms());
    } finally {
      // What a store was asked for may come when the time is up, and takes memory until then.
      const giveBack = (): void => {
        this.#fetching -= most.bytes;
      };
      void finding.then(giveBack, giveBack);
    }
  }

  /** Hands over what was found. returns: false where it does not fit, in form or in bytes, which is no fault of the store */
  #isTaken({ pages, keys, end, sealed, numBytes }: Found, take: TakePrefix): boolean {
    const { cache, snapshotIdentity } = this.#llm;
    try {
      take(numBytes, pages, () => restoreParts(cache, pages * PAGE_TOKENS, end, sealed, snapshotIdentity));
      return true;
    } catch (error) {
      const isWrong = error instanceof TurboQuantError && error.code === "invalid_file";
      if (isWrong) for (const key of keys) this.#queue.doubt(key);
      return false;
    }
  }

  /** Gives up pages that wait to be written. returns: false when there are none */
  drop(): boolean {
    return this.#queue.drop();
  }

  /** Resolves when what is to be written has been, or its time is up; what is left is given up then. */
  async flush(): Promise<void> {
    await within(this.#timeoutMs, this.#ending.signal, () => this.#queue.flush()).catch(() => this.#queue.close());
  }

  /** Ends fetches and writes; the store stays open. */
  close(): void {
    this.#ending.abort(new Error("ended"));
    this.#queue.close();
  }

  #prefix(pages: number, { localPages }: SharedPrompt): Prefix {
    return { tokens: (pages - localPages) * PAGE_TOKENS, bytes: this.#sizes.bytesOf(pages) };
  }

  #hasRoom(bytes: number): boolean {
    return this.#fetching + bytes <= (this.#options.fetchBytes ?? DEFAULT_FETCH_BYTES);
  }

  #isWorth(prefix: Prefix, msPerToken: number | null): boolean {
    return this.#options.fetch === "always" || this.#plan.isWorth(prefix, msPerToken, this.#timeoutMs);
  }

  async #find(
    prompt: SharedPrompt,
    own: StoreKeys,
    msPerToken: number | null,
    signal: AbortSignal,
  ): Promise<Found | "miss" | "skipped"> {
    const { hashes, mostPages, localPages, ropeLength } = prompt;
    const keyOf = (kind: PartKind, page: number): string => own.of(kind, hashes[page]!, ropeLength);
    const parts = new Map<string, Uint8Array>();
    let tries = 0;
    // Of what is missing, nothing that is longer is of use.
    let most = mostPages;
    while (most > localPages && tries < MAX_TRIES) {
      const ends = await this.#ends(Math.max(localPages, most - CANDIDATES), most, keyOf, signal);
      const pages = ends[0];
      if (pages === undefined) {
        most -= CANDIDATES;
        continue;
      }
      if (!this.#isWorth(this.#prefix(pages, prompt), msPerToken)) return "skipped";
      tries++;
      const sealed = Array.from({ length: this.#sizes.hasSealed ? pages : 0 }, (_, page) => keyOf("sealed", page));
      const keys = [keyOf("end", pages - 1), ...sealed];
      const missing = await this.#read(keys, pages, parts, signal);
      if (missing !== null) {
        // Where one value is none, others of the prefix may not be either.
        for (const key of missing.isWrong ? keys : [keys[missing.index]!]) this.#queue.doubt(key);
        most = missing.index > 0 ? missing.index - 1 : pages - 1;
        continue;
      }
      for (const key of keys) this.#queue.know(key);
      const [end, ...rest] = keys.map((key) => parts.get(key)!);
      this.#sizes.onEnd(end!.length);
      const numBytes = [end!, ...rest].reduce((sum, { length }) => sum + length, 0);
      return { pages, keys, end: end!, sealed: rest, numBytes };
    }
    return "miss";
  }

  /** Numbers of pages, above `least` and up to `most`, whose ends the store has, the largest first. */
  async #ends(
    least: number,
    most: number,
    keyOf: (kind: PartKind, page: number) => string,
    signal: AbortSignal,
  ): Promise<number[]> {
    const all = Array.from({ length: most - least }, (_, i) => most - i);
    const asked = performance.now();
    const are = await this.#store.has(
      all.map((pages) => keyOf("end", pages - 1)),
      signal,
    );
    signal.throwIfAborted();
    this.#plan.onAnswer(performance.now() - asked);
    // What is missing is written again by whoever computes it.
    for (const [i, pages] of all.entries()) {
      if (!are[i]) this.#queue.forget([keyOf("end", pages - 1), keyOf("sealed", pages - 1)]);
    }
    return all.filter((_, i) => are[i]);
  }

  /**
   * Reads the parts under the keys, an end first, as far as they are not there yet.
   * returns: the index of the first key that is found without a sound value, and whether one has a wrong value; null when all are sound
   */
  async #read(
    keys: readonly string[],
    pages: number,
    parts: Map<string, Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ readonly index: number; readonly isWrong: boolean } | null> {
    const began = performance.now();
    let next = 0;
    let numBytes = 0;
    let missing = Number.POSITIVE_INFINITY;
    let isWrong = false;
    const reader = async (): Promise<void> => {
      while (missing === Number.POSITIVE_INFINITY && next < keys.length) {
        const index = next++;
        const key = keys[index]!;
        if (parts.has(key)) continue;
        const most = index === 0 ? this.#sizes.mostEnd(pages * PAGE_TOKENS) : this.#sizes.mostSealed;
        const value = await this.#valueOf(key, most, signal).catch((error: unknown) => {
          // The other readers end with the value that they are at.
          next = keys.length;
          throw error;
        });
        const part = value && decodeValue(key, value);
        if (part) parts.set(key, part);
        else missing = Math.min(missing, index);
        isWrong ||= value !== null && part === null;
        numBytes += value?.length ?? 0;
      }
    };
    try {
      await Promise.all(Array.from({ length: READERS }, reader));
      return missing < keys.length ? { index: missing, isWrong } : null;
    } finally {
      // What came before the time was up says how fast the store is as well.
      this.#plan.onRead(numBytes, performance.now() - began);
    }
  }

  /** As `PageStore.get`, also of a store that does not listen to its signal. */
  async #valueOf(key: string, mostBytes: number, signal: AbortSignal): Promise<Uint8Array | null> {
    const value = await this.#store.get(key, mostBytes, signal);
    signal.throwIfAborted();
    return value;
  }
}
