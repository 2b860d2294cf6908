/** @file What is reported of a shared store, for metrics. */
import type { WriteOutcome } from "./write-queue.ts";

/**
 * - `hit`: a prefix was fetched
 * - `miss`: the store has no longer prefix than is known here, or lacks a part of it
 * - `skipped`: it was not asked, or not for values: it fails, too much is being fetched, or computing is faster
 * - `failed`: an error, no answer in time, parts that do not fit, or a request that has ended meanwhile
 */
export type FetchOutcome = "hit" | "miss" | "skipped" | "failed";

export interface StoreObserver {
  /** Called for each prompt that is longer than what is known of it. tokens: in the prefix · bytes: read · ms: until it was known */
  onStoreFetch?(outcome: FetchOutcome, tokens: number, bytes: number, ms: number): void;
  /** Called for each part. bytes: of the value */
  onStoreWrite?(outcome: WriteOutcome, bytes: number): void;
}
