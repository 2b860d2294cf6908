/**
 * @file Decides who may hold pages: running choices, cached prefixes, and preempted choices, whose pages were taken away.
 *
 * Cached prefixes are evicted whenever pages are needed. A preempted choice that has generated tokens is saved as a snapshot in
 * ordinary memory and continues exactly; one that was still reading its prompt reads it again.
 */
import type { PagePool } from "../../cache/page-pool.ts";
import type { PageAddress } from "../../cache/page-storage.ts";
import type { Sequence } from "../../cache/sequence.ts";
import { restoreSequence, type SnapshotIdentity, saveSequence } from "../../cache/snapshot.ts";
import { TurboQuantError } from "../../errors.ts";
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import type { LLM } from "../llm.ts";
import type { SharedPrefixes } from "../page-store/shared-prefixes.ts";
import type { PageListener } from "./kept-pages.ts";
import { pageHashes } from "./page-hashes.ts";
import { PrefixCache, type PrefixEntry } from "./prefix-cache.ts";
import type { Choice, Request } from "./request.ts";
import { MIN_SPAN } from "./step-plan.ts";

export class KvCacheManager {
  readonly prefixes: PrefixCache;
  /** Whether generated tokens may be read again as part of a prompt with equal results. */
  readonly isRowInvariant: boolean;
  readonly identity: SnapshotIdentity;
  readonly #llm: LLM;
  readonly #savedBudgetBytes: number;
  readonly #shared: SharedPrefixes | null;
  /** Hashes of the whole pages of choices that are being answered. */
  readonly #hashes = new WeakMap<Choice, readonly string[]>();
  #savedBytes = 0;
  /** The bytes that the device was found to hold, when that is less than the budget. */
  #deviceBytes = Number.POSITIVE_INFINITY;

  /** shared: where prefixes are found that other processes have computed, and written for them */
  constructor(llm: LLM, savedBudgetBytes: number, pageListener?: PageListener, shared: SharedPrefixes | null = null) {
    this.prefixes = new PrefixCache(pageListener);
    this.#llm = llm;
    this.#shared = shared;
    this.#savedBudgetBytes = savedBudgetBytes;
    const { layers, slots } = llm.cache;
    this.isRowInvariant =
      layers.every(({ format }) => llm.ops.isRowInvariant(format)) && slots.every((slot) => slot.isRowInvariant);
    this.identity = llm.snapshotIdentity;
  }

  /** Bytes of the snapshots of preempted choices. */
  get savedBytes(): number {
    return this.#savedBytes;
  }

  get coarsenedPages(): number {
    return this.#llm.runner.coarsening.numPages;
  }

  /** The most bytes of pages: the budget, or what the device was found to hold. */
  get limitBytes(): number {
    return Math.min(this.#llm.cache.pool.budgetBytes, this.#deviceBytes);
  }

  /** Evicts cached prefixes until `bytes` more fit. returns: false when they do not fit even then */
  makeRoom(bytes: number): boolean {
    const { pool } = this.#llm.cache;
    while (pool.numBytes + bytes > this.limitBytes) if (!this.evict()) return false;
    return true;
  }

  /** As `makeRoom`. @throws TurboQuantError out_of_memory — `bytes` more do not fit beside the pages of `choices`; nothing is evicted then */
  #makeRoomBeside(choices: readonly Choice[], bytes: number): void {
    const { limitBytes } = this;
    if (this.#llm.cache.pool.numBytes + bytes > limitBytes && bytesOfPages(choices) + bytes > limitBytes) {
      throw new TurboQuantError(
        "out_of_memory",
        `KV cache: ${bytes} bytes of a prefix do not fit beside the running requests; they go on without it`,
      );
    }
    this.makeRoom(bytes);
  }

  /** Gives up a cached prefix, or pages that wait to be shared. returns: false when there are none */
  evict(): boolean {
    return this.prefixes.evict() || (this.#shared?.drop() ?? false);
  }

  /**
   * Fetches a prefix of a waiting request, where other processes may have a longer one than is cached here; null where there is nothing to ask.
   * msPerToken: what computing a token of a prompt takes; null when it is not known · running: choices whose pages stay, as they are when it has come
   */
  fetchPrefix(request: Request, msPerToken: number | null, running: readonly Choice[]): Promise<void> | null {
    const { ids, hashes, mayCache } = request;
    const mostPages = Math.min(hashes.length, Math.floor((ids.length - MIN_SPAN) / PAGE_TOKENS));
    const localPages = Math.floor((this.findPrefix(request)?.length ?? 0) / PAGE_TOKENS);
    if (!this.#shared || !mayCache || mostPages <= localPages) return null;
    const ropeLength = this.#llm.decoder.ropeLength(ids.length);
    return this.#shared.fetch({ hashes, mostPages, localPages, ropeLength }, msPerToken, (numBytes, pages, restore) => {
      if (request.isCancelled) throw new Error("nobody waits for the prefix any more");
      this.#makeRoomBeside(running, numBytes);
      const sequence = restore();
      this.prefixes.addPageEnd(sequence, hashes[pages - 1]!, false, request);
      sequence.release();
    });
  }

  /**
   * Makes old pages of running choices coarser until `bytes` more fit, where the format lets them (`--kv auto`). No step may be in flight.
   * returns: false when they do not fit even then
   */
  coarsen(choices: readonly Choice[], bytes: number): boolean {
    const { cache, runner } = this.#llm;
    const sequences = choices.flatMap(({ sequence }) => sequence ?? []);
    return runner.coarsening.makeRoom(sequences, () => cache.pool.numBytes + bytes <= this.limitBytes);
  }

  /** Called when the device had no room for `bytes` more. Lowers the limit, so that preempted choices are not resumed too early. */
  onDeviceFull(bytes: number): void {
    this.#deviceBytes = Math.min(this.limitBytes, this.#llm.cache.pool.numBytes + bytes - 1);
  }

  /** Called when the scheduler is idle: other users of the device may have freed memory since. */
  forgetDeviceLimit(): void {
    this.#deviceBytes = Number.POSITIVE_INFINITY;
  }

  findPrefix({ ids, hashes, root, mayCache }: Request): PrefixEntry | null {
    if (!mayCache) return null;
    return this.prefixes.find(ids, hashes, MIN_SPAN, this.#llm.decoder.ropeLength(ids.length), root);
  }

  /**
   * Lets a choice that is reading its prompt continue from a longer
   * cached prefix, perhaps one that another request has just computed.
   */
  usePrefix(choice: Choice): void {
    const at = choice.sequence!.length;
    if (at >= choice.request.ids.length) return;
    const entry = this.findPrefix(choice.request);
    if (!entry || entry.length <= at) return;
    choice.sequence!.release();
    choice.sequence = entry.sequence.fork();
    choice.shared = { owner: entry, tokens: entry.length };
    choice.request.cachedTokens += entry.length - at;
    this.prefixes.touch(entry);
    if (entry.tokens === null) this.#shared?.keep(entry.sequence, entry.hash, true);
  }

  /** Caches the sequence at a page end of a prompt. */
  keepPageEnd(request: Request, sequence: Sequence): void {
    const { ids, hashes } = request;
    const hash = hashes[sequence.length / PAGE_TOKENS - 1];
    if (hash === undefined) return;
    // The last page end helps when the same prompt comes again. Where conversations are found by their end, that entry is better.
    const isLast = sequence.length + PAGE_TOKENS > ids.length - MIN_SPAN;
    this.prefixes.addPageEnd(sequence, hash, this.isRowInvariant || !isLast, request);
    this.#shared?.keep(sequence, hash, isLast);
  }

  /** Shares what an answer has at a page end, where its tokens may be read as part of a prompt. */
  shareAnswer(choice: Choice): void {
    const { request, sequence, tokens } = choice;
    const length = sequence?.length ?? 0;
    if (!this.#shared || !this.isRowInvariant || !request.mayCache) return;
    if (length <= request.ids.length || length % PAGE_TOKENS !== 0) return;
    const known = this.#hashes.get(choice) ?? request.hashes;
    const hashes = pageHashes(tokens.slice(0, length), known, request.root);
    this.#hashes.set(choice, hashes);
    this.#shared.keep(sequence!, hashes.at(-1)!, false);
  }

  /** Takes over the sequence of a choice that ends. returns: the new prefix, or null when the sequence was not kept */
  retire(choice: Choice): PrefixEntry | null {
    const { sequence, request, tokens, saved } = choice;
    choice.sequence = null;
    if (saved) this.#savedBytes -= saved.length;
    choice.saved = null;
    if (!sequence) return null;
    if (request.mayCache && sequence.length > 0) {
      return this.prefixes.add(sequence, tokens, request.hashes, this.isRowInvariant, request.root);
    }
    sequence.release();
    return null;
  }

  /** Takes the pages of a choice away. If they hold tokens of its answer, they are saved as a snapshot first. */
  async preempt(choice: Choice): Promise<void> {
    const sequence = choice.sequence!;
    if (choice.tokens.length > choice.request.ids.length) {
      const saved = await saveSequence(sequence, this.identity);
      if (this.#savedBytes + saved.length <= this.#savedBudgetBytes) {
        choice.saved = saved;
        this.#savedBytes += saved.length;
      }
    }
    sequence.release();
    choice.sequence = null;
    choice.shared = null;
  }

  /**
   * Gives pages to a preempted choice again.
   * @throws TurboQuantError out_of_memory — no room; the choice is as before
   */
  resume(choice: Choice): void {
    const { saved } = choice;
    if (!saved) {
      choice.sequence = this.#llm.cache.createSequence();
      return;
    }
    this.makeRoom(saved.length);
    choice.sequence = restoreSequence(this.#llm.cache, saved, this.identity).sequence;
    this.#savedBytes -= saved.length;
    choice.saved = null;
  }
}

/** Bytes of the pages of choices; one that several share counts once. */
function bytesOfPages(choices: readonly Choice[]): number {
  const seen = new Map<PagePool, Set<PageAddress>>();
  let sum = 0;
  for (const { sequence } of choices) {
    // As it is between steps, whether one is in flight or not.
    const committed = sequence?.forkCommitted();
    for (const { pool, address, numBytes } of committed?.states.flatMap((state) => [...state.savedPages()]) ?? []) {
      const own = seen.get(pool) ?? new Set();
      seen.set(pool, own);
      if (!own.has(address)) sum += numBytes;
      own.add(address);
    }
    committed?.release();
  }
  return sum;
}
