/** @file Creates one of the states of every sequence of a cache, and restores it from a snapshot. */
import type { PagePool } from "../page-pool.ts";
import type { PageAddress } from "../page-storage.ts";
import type { LayerState } from "./layer-state.ts";

/** The entry of a state in a snapshot's header, not yet checked. */
export type StateDescription = Readonly<Record<string, unknown>>;

export interface StateSlot {
  readonly kind: string;
  /** Index in the model of the layer that the state belongs to. */
  readonly layer: number;
  /** Bytes of the state of a sequence of any length; 0 for a state that grows with it. */
  readonly fixedBytes: number;
  /** Whether the state is the same bit for bit when tokens are generated and when they are read as part of a prompt, but for its format. */
  readonly isRowInvariant: boolean;
  create(): LayerState;
  /** The first field of a well-formed description that does not fit this cache; null when the state can be restored here. */
  mismatch(
    description: StateDescription,
    length: number,
  ): { readonly name: string; readonly want: unknown; readonly got: unknown } | null;
  /** Builds a state from the pages of a snapshot. */
  restore(description: StateDescription, length: number, take: TakePage): LayerState;
}

/**
 * Allocates the next page of a snapshot in a pool and reads it; the state owns it. sealed: the index of a page that is sealed at the snapshot's
 * length (`SavedPage.sealed`)
 */
export type TakePage = (pool: PagePool, numBytes: number, group: number, sealed?: number) => PageAddress;

/** What the reader of a snapshot must know of a kind of state to tell a sound header from a damaged one. */
export interface StateKind {
  /** Whether the description has all fields of this kind, in range for a sequence of `length` tokens. */
  isSound(description: StateDescription, length: number): boolean;
  /** Bytes that the state's pages take in the file. */
  pageBytes(description: StateDescription, length: number): number;
}

export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
