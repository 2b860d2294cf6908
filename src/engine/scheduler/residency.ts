/**
 * @file Who has pages: jobs at work, prefixes kept for later, and jobs whose pages were taken away.
 *
 * Pages of kept prefixes are free for the asking. A preempted job that has begun to answer is written to ordinary memory,
 * compressed as it is, and comes back unchanged; one that was still reading its prompt reads it again.
 */

import type { Sequence } from "../../cache/sequence.ts";
import { restoreSequence, type SnapshotIdentity, saveSequence } from "../../cache/snapshot.ts";
import { PAGE_TOKENS } from "../../quant/page-layout.ts";
import type { LLM } from "../llm.ts";
import type { Job, Request } from "./job.ts";
import { PrefixCache, type PrefixEntry } from "./prefix-cache.ts";
import { MIN_SPAN } from "./step-plan.ts";

export class Residency {
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

  /** Bytes of preempted jobs. */
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

  /** Lets a job that reads its prompt go on from a longer prefix, which may be one that another job has just computed. */
  usePrefix(job: Job): void {
    const at = job.sequence!.length;
    if (at >= job.request.ids.length) return;
    const entry = this.findPrefix(job.request);
    if (!entry || entry.length <= at) return;
    job.sequence!.release();
    job.sequence = entry.sequence.fork();
    job.shared = { owner: entry, tokens: entry.length };
    job.request.cachedTokens += entry.length - at;
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

  /** Takes the sequence of a job that ends; returns the entry it became, null when it is not to be kept. */
  retire(job: Job): PrefixEntry | null {
    const { sequence, request, tokens, saved } = job;
    job.sequence = null;
    if (saved) this.#savedBytes -= saved.length;
    job.saved = null;
    if (!sequence) return null;
    if (request.mayCache && sequence.length > 0) {
      return this.prefixes.add(sequence, tokens, request.hashes, this.isRowInvariant);
    }
    sequence.release();
    return null;
  }

  async preempt(job: Job): Promise<void> {
    const sequence = job.sequence!;
    if (job.tokens.length > job.request.ids.length) {
      const saved = await saveSequence(sequence, this.identity);
      if (this.#savedBytes + saved.length <= this.#savedBudgetBytes) {
        job.saved = saved;
        this.#savedBytes += saved.length;
      }
    }
    sequence.release();
    job.sequence = null;
    job.shared = null;
  }

  /** @throws TurboQuantError out_of_memory — no room; the job is as before */
  resume(job: Job): void {
    const { saved } = job;
    if (!saved) {
      job.sequence = this.#llm.cache.createSequence();
      return;
    }
    this.makeRoom(saved.length);
    job.sequence = restoreSequence(this.#llm.cache, saved, this.identity).sequence;
    this.#savedBytes -= saved.length;
    job.saved = null;
  }
}
