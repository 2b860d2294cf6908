/**
 * @file What every kind of state of a layer can do, so that sequences, snapshots and kept prefixes need not know the kinds.
 *
 * All of a state's memory is pages of the pool. A step is `missingPages` (allocated by the sequence) → the backend writes →
 * `commit`. Steps may run ahead on positions that are reserved only.
 */
import type { PageAddress } from "../page-storage.ts";

/** A page that a state lacks for the positions ahead. */
export interface MissingPage {
  readonly numBytes: number;
  /** See `PageStorage.allocate`. */
  readonly group: number;
  /** The shared page that it is to be a copy of, or 0. */
  readonly replaces: PageAddress;
  /** Puts the page in its place. returns: puts back what was there */
  place(address: PageAddress): () => void;
}

/** A page of a saved file: where it lies now, and what blanks the parts of a copy that hold nothing. */
export interface SavedPage {
  readonly address: PageAddress;
  readonly numBytes: number;
  blank(bytes: Uint8Array): void;
}

export interface LayerState {
  /** Bytes of its pages, pages shared with forks counted in full. */
  readonly numBytes: number;
  /** Pages that positions [length, length + count) need and this state does not have for itself. */
  missingPages(count: number): MissingPage[];
  /** `count` reserved positions are now part of the sequence; what no later token can need is given back. */
  commit(count: number): void;
  /**
   * The longest length, at most `length`, at which the state is still here to the bit, as if no later token had been. 0 at
   * worst.
   */
  keepable(length: number): number;
  /** Goes back to a length that `keepable` returned. */
  cutTo(length: number): void;
  /** Gives back pages that are reserved only. */
  dropReserved(): void;
  /** The longest length, at most `length`, at which `mark` keeps something to go back to. */
  markable(length: number): number;
  /**
   * Keeps what is needed to go back to the present length for as long as it is among the `MAX_MARKS` latest; its pages are
   * counted like all others.
   */
  mark(): void;
  /** The same tokens once more; pages are shared until one of the two writes. hasMarks: of the copy */
  fork(hasMarks: boolean): LayerState;
  /** What a snapshot's header says of it; its `kind` tells who can read it (absent: keys and values). */
  describe(): Readonly<Record<string, unknown>>;
  /** Its pages in the order of a snapshot. */
  savedPages(): Iterable<SavedPage>;
  /** Gives every page back. */
  release(): void;
}

/** Lengths a state can go back to besides those near its end. */
export const MAX_MARKS = 2;
