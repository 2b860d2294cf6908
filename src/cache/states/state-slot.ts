/**
 * @file The place of one state in every sequence of a cache: makes new ones, and reads those of a snapshot back.
 */
import type { PageAddress } from "../page-storage.ts";
import type { LayerState } from "./layer-state.ts";

/** What a snapshot's header says of a state, before anything of it is believed. */
export type StateDescription = Readonly<Record<string, unknown>>;

export interface StateSlot {
  readonly kind: string;
  create(): LayerState;
  /** What a sound description should say and does not; null when the state can be restored here. */
  mismatch(
    description: StateDescription,
    length: number,
  ): { readonly name: string; readonly want: unknown; readonly got: unknown } | null;
  /** A state out of the pages of a snapshot. `take` allocates the next page of the file; what it allocated is the state's. */
  restore(
    description: StateDescription,
    length: number,
    take: (numBytes: number, group: number) => PageAddress,
  ): LayerState;
}

/** What the reader of a file must know of a kind of state to tell a sound header from a damaged one. */
export interface StateKind {
  /** Whether the description has all fields of this kind, in range for a sequence of `length` tokens. */
  isSound(description: StateDescription, length: number): boolean;
  /** Bytes of its pages in the file. */
  pageBytes(description: StateDescription, length: number): number;
}

export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
