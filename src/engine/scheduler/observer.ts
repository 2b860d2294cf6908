/** @file What the scheduler reports about its work, for metrics and logs. Durations are in milliseconds. */
import type { FinishReason } from "../generation.ts";
import type { StoreObserver } from "../page-store/store-observer.ts";

export interface RequestReport {
  /** Whether any of it was computed. */
  readonly isStarted: boolean;
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** From the request's arrival to its first step. */
  readonly queueMs: number;
  /** From the first step to the first token. */
  readonly prefillMs: number;
  /** From the first token of any continuation to the last of all. */
  readonly decodeMs: number;
  readonly totalMs: number;
  readonly finishReason: FinishReason | "error";
}

export interface SchedulerObserver extends StoreObserver {
  onStep?(rows: number, decodeRows: number, ms: number): void;
  onFirstToken?(sinceArrivalMs: number): void;
  onNextToken?(sinceLastMs: number): void;
  /** Called with the number of prompt tokens looked up among the cached prefixes, and the number found. */
  onPrefixLookup?(tokens: number, hits: number): void;
  /** Called for each choice of a step that had drafts, with their number and how many of them were right. */
  onDrafts?(drafted: number, accepted: number): void;
  onPreemption?(): void;
  onFinish?(report: RequestReport): void;
}

export interface SchedulerStats {
  readonly running: number;
  readonly waiting: number;
  /** Number of preempted choices that wait for room. */
  readonly preempted: number;
  /** Bytes of all KV pages in use, cached prefixes included. */
  readonly kvBytes: number;
  /** Infinity when there is no limit. */
  readonly kvBudgetBytes: number;
  /** Pages of 64 tokens that the budget holds, as many of sequences that fill the context; Infinity when there is no limit. */
  readonly budgetPages: number;
  /** Bytes of the snapshots of preempted choices. */
  readonly savedBytes: number;
  readonly prefixEntries: number;
  readonly prefixEvictions: number;
  /** Pages coded anew in fewer bits because memory was short (`--kv auto`). */
  readonly coarsenedPages: number;
  /** Bytes that wait to be written to the shared store. */
  readonly storeQueueBytes: number;
}
