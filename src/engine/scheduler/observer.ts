/** @file What the scheduler tells about its work, for metrics and logs. Durations are in milliseconds. */
import type { FinishReason } from "../generation.ts";

export interface RequestReport {
  readonly promptTokens: number;
  readonly cachedTokens: number;
  readonly completionTokens: number;
  /** From its arrival to its first step. */
  readonly queueMs: number;
  /** From its first step to the first token. */
  readonly prefillMs: number;
  /** From the first token of the first continuation to the last of all. */
  readonly decodeMs: number;
  readonly totalMs: number;
  readonly finishReason: FinishReason | "error";
}

export interface SchedulerObserver {
  onStep?(rows: number, decodeRows: number, ms: number): void;
  onFirstToken?(sinceArrivalMs: number): void;
  onNextToken?(sinceLastMs: number): void;
  /** Prompt tokens looked up among the cached prefixes, and those found. */
  onPrefixLookup?(tokens: number, hits: number): void;
  onPreemption?(): void;
  onFinish?(report: RequestReport): void;
}

export interface SchedulerStats {
  readonly running: number;
  readonly waiting: number;
  /** Preempted, waiting for room to go on. */
  readonly preempted: number;
  /** Bytes of all KV pages in use, cached prefixes included. */
  readonly kvBytes: number;
  /** Infinity without a limit. */
  readonly kvBudgetBytes: number;
  /** Bytes of preempted sequences in ordinary memory. */
  readonly savedBytes: number;
  readonly prefixEntries: number;
  readonly prefixEvictions: number;
}
