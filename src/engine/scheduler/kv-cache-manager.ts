/**
 * @file Who has the pages of the pool: running choices, prefixes that are kept for later requests, and preempted choices, which
 * have none.
 *
 * Prefixes are kept only as long as nobody needs their pages. A preempted choice that has begun to answer is written to
 * ordinary memory as a snapshot, codes as they are, and comes back unchanged; one that was still reading its prompt reads it
 * again.
 */
import type { Sequence } from "../../cache/sequence.ts";
import { restoreSequence, type SnapshotIdentity, saveSequence } from "../../cache/snapshot.ts";
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import type { LLM } from "../llm.ts";
import { PrefixCache, type PrefixEntry } from "./prefix-cache.ts";
import type { Choice, Request } from "./request.ts";
import { MIN_SPAN } from "./step-plan.ts";

export class KvCacheManager {
  readonly prefixes = new PrefixCache();
  /** Whether generated tokens may be continued as part of a prompt. */
  readonly isRowInvariant: boolean;
  readonly identity: SnapshotIdentity;
  readonly #llm: LLM;
  readonly #savedBudgetBytes: number;
  #savedBytes = 0;
  /** What the device turned out to hold, where that is less than the budget. */
  #deviceBytes = Number.POSITIVE_INFINITY;

  constructor(llm: LLM, savedBudgetBytes: number) {
    this.#llm = llm;
    this.#savedBudgetBytes = savedBudgetBytes;
    this.isRowInvariant = llm.cache.layers.every(({ format }) => llm.ops.isRowInvariant(format));
    this.identity = llm.snapshotIdentity;
  }

  /** Bytes of the snapshots of preempted choices. */
  get savedBytes(): number {
    return this.#savedBytes;
  }

  /** Most bytes of pages: the budget, or what the device was found to hold. */
  get limitBytes(): number {
    return Math.min(this.#llm.cache.pool.budgetBytes, this.#deviceBytes);
  }

  /** Evicts prefixes until `bytes` more fit. false: they do not fit even so */
  makeRoom(bytes: number): boolean {
    const { pool } = this.#llm.cache;
    while (pool.numBytes + bytes > this.limitBytes) if (!this.prefixes.evict()) return false;
    return true;
  }

  /** The device had no room for `bytes` more: what is preempted now must not be resumed as if it had. */
  onDeviceFull(bytes: number): void {
    this.#deviceBytes = Math.min(this.limitBytes, this.#llm.cache.pool.numBytes + bytes - 1);
  }

  /** Others on the device may have given memory back by the time that new requests come. */
  forgetDeviceLimit(): void {
    this.#deviceBytes = Number.POSITIVE_INFINITY;
  }

  findPrefix({ ids, hashes, mayCache }: Request): PrefixEntry | null {
    return mayCache ? this.prefixes.find(ids, hashes, MIN_SPAN) : null;
  }

  /** Lets a choice that reads its prompt go on from a longer prefix, perhaps one that another request has just computed. */
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
  }

  /** Keeps the end of a page of a prompt. */
  keepPageEnd({ ids, hashes }: Request, sequence: Sequence): void {
    const hash = hashes[sequence.length / PAGE_TOKENS - 1];
    if (hash === undefined) return;
    // The last one serves the same prompt asked again. Where conversations are found by their end, that is worth more.
    const isLast = sequence.length + PAGE_TOKENS > ids.length - MIN_SPAN;
    this.prefixes.addPageEnd(sequence, hash, this.isRowInvariant || !isLast);
  }

  /** Takes the sequence of a choice that ends; returns the prefix it is kept as, null when it is given back. */
  retire(choice: Choice): PrefixEntry | null {
    const { sequence, request, tokens, saved } = choice;
    choice.sequence = null;
    if (saved) this.#savedBytes -= saved.length;
    choice.saved = null;
    if (!sequence) return null;
    if (request.mayCache && sequence.length > 0) {
      return this.prefixes.add(sequence, tokens, request.hashes, this.isRowInvariant);
    }
    sequence.release();
    return null;
  }

  /** Takes the pages of a choice, after writing them to a snapshot where they hold tokens of its answer. */
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

  /** Gives a preempted choice pages again. @throws TurboQuantError out_of_memory — no room; the choice is as before */
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
