/** @file What a scheduler may be told: how much it computes together, lets wait, caches and saves. */

import type { PageStoreOptions } from "../page-store/page-store.ts";
import type { Speculate } from "../speculation/speculation-options.ts";
import type { PageListener } from "./kept-pages.ts";
import type { SchedulerObserver } from "./observer.ts";

export interface SchedulerOptions {
  /** The most sequences that are computed together; default 64. */
  readonly maxRunning?: number;
  /** The most requests in the queue; default 1024. */
  readonly maxWaiting?: number;
  /**
   * The most prompt rows in a step with decoding requests. Default: as
   * many as take a tenth of a second, but at least what suits the backend.
   */
  readonly chunkTokens?: number;
  /** Whether to cache prefixes for later requests; default true. */
  readonly prefixCache?: boolean;
  /**
   * The most bytes for snapshots of preempted choices; default: as many
   * as the pages may take. Beyond that, their tokens are computed again.
   */
  readonly savedBudgetBytes?: number;
  /** How tokens are drafted for requests that do not say it themselves (`GenerateOptions.speculate`). Default: `off`. */
  readonly speculate?: Speculate | undefined;
  /** Where prefixes are shared with other processes; they are with nobody by default, nor without `prefixCache`. */
  readonly pageStore?: PageStoreOptions | undefined;
  readonly observer?: SchedulerObserver;
  /** Is told of the pages that prompts can find among kept prefixes. */
  readonly pageListener?: PageListener;
}

export const DEFAULT_MAX_RUNNING = 64;
export const DEFAULT_MAX_WAITING = 1024;

/** All names, and those of other programs for them. */
export const SCHEDULER_OPTIONS: Readonly<Record<keyof SchedulerOptions, true> & Record<string, true | string>> = {
  maxRunning: true,
  maxWaiting: true,
  chunkTokens: true,
  prefixCache: true,
  savedBudgetBytes: true,
  speculate: true,
  pageStore: true,
  observer: true,
  pageListener: true,
  maxNumSeqs: "maxRunning",
  parallel: "maxRunning",
  enablePrefixCaching: "prefixCache",
  maxNumBatchedTokens: "chunkTokens",
};
