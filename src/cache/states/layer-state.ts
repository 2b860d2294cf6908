/**
 * @file The interface of every kind of layer state; sequences, snapshots and the prefix cache work through it alone.
 *
 * All memory of a state is pages of the pool. A step is `missingPages` (which the sequence allocates) → the backend writes →
 * `commit`. Further steps may run on positions that are reserved but not committed.
 */
import type { PagePool } from "../page-pool.ts";
import type { PageAddress } from "../page-storage.ts";

/** A page that a state needs for positions ahead and does not have for itself. */
export interface MissingPage {
  /** Where it has to be allocated. */
  readonly pool: PagePool;
  readonly numBytes: number;
  /** See `PageStorage.allocate`. */
  readonly group: number;
  /** The shared page whose bytes the new page starts with, or 0 for a zeroed page. */
  readonly replaces: PageAddress;
  /** Puts the allocated page into the state. returns: a function that undoes this */
  install(address: PageAddress): () => void;
}

/** A page as it goes into a snapshot. `blank` zeroes the rows of a copy of its bytes that hold no token. */
export interface SavedPage {
  /** Where it was allocated. */
  readonly pool: PagePool;
  readonly address: PageAddress;
  readonly numBytes: number;
  /** Of a page that no later token changes: which one it is, and from how many tokens on that is so. Absent for all others. */
  readonly sealed?: { readonly index: number; readonly since: number };
  blank(bytes: Uint8Array): void;
}

export interface LayerState {
  /** Bytes of the state's pages; pages shared with forks count in full. */
  readonly numBytes: number;
  /** Pages for positions [length, length + count) that the state lacks or shares with a fork. */
  missingPages(count: number): readonly MissingPage[];
  /** Makes `count` reserved positions part of the state, and releases pages that no later token can read. */
  commit(count: number): void;
  /** The longest length, at most `length`, at which the state is still known exactly, as if no later token had been added; 0 at worst. */
  keepable(length: number): number;
  /** Cuts the state to a length that `keepable` returned. */
  cutTo(length: number): void;
  /** Releases the pages of positions that are reserved but not committed. */
  dropReserved(): void;
  /** The longest length, at most `length`, at which `mark` can retain the state. */
  markable(length: number): number;
  /**
   * Retains what is needed to cut back to the present length, for as long as this mark is among the `MAX_MARKS` latest. The
   * retained pages count in `numBytes`.
   */
  mark(): void;
  /** A second state with the same tokens. The two share pages until one of them writes. hasMarks: whether marks are copied too */
  fork(hasMarks: boolean): LayerState;
  /** The state's entry in a snapshot's header. Its `kind` names the reader; without one it is keys and values. */
  describe(): Readonly<Record<string, unknown>>;
  /** The state's pages in the order in which a snapshot stores them. */
  savedPages(): Iterable<SavedPage>;
  /** Releases every page. */
  release(): void;
}

/** What `missingPages` returns for most tokens of most states. */
export const NO_PAGES: readonly MissingPage[] = [];
/** Number of marks that a state keeps. */
export const MAX_MARKS = 2;
