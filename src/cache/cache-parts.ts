/** @file What a sequence knows of the cache it belongs to. */
import type { LayerCache } from "./layer-cache.ts";
import type { PagePool } from "./page-pool.ts";
import type { StateSlot } from "./states/state-slot.ts";

export interface CacheParts {
  /** The layers that have keys and values, in order. */
  readonly layers: readonly LayerCache[];
  /** One slot for each state of a sequence, in order. */
  readonly slots: readonly StateSlot[];
  /** The pool that counts all pages of the cache, whichever memory they lie in. */
  readonly pool: PagePool;
}
