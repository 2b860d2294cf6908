/** @file How rows that stand for several tokens each are created for a cache and restored from a snapshot: as keys and values of so many rows. */

import { assert } from "../../errors.ts";
import { CompressedState } from "./compressed-state.ts";
import { kvKind } from "./kv-slot.ts";
import { KvState } from "./kv-state.ts";
import { isCount, type StateKind, type StateSlot } from "./state-slot.ts";

const isRate = (value: unknown): value is number => isCount(value) && value >= 1;

export const compressedKind: StateKind = {
  isSound: (description, length) => {
    const { tokensPerRow } = description;
    return isRate(tokensPerRow) && kvKind.isSound(description, Math.floor(length / tokensPerRow));
  },
  pageBytes: (description, length) =>
    kvKind.pageBytes(description, Math.floor(length / (description["tokensPerRow"] as number))),
};

/** of: the slot of the rows, as of keys and values */
export function compressedSlot(of: StateSlot, tokensPerRow: number): StateSlot {
  const around = (rows: ReturnType<StateSlot["create"]>, length: number): CompressedState => {
    assert(rows instanceof KvState, "compressed rows are stored as keys and values");
    return new CompressedState(rows, tokensPerRow, length);
  };
  return {
    ...of,
    kind: "compressed",
    create: () => around(of.create(), 0),
    mismatch: (description, length) =>
      description["tokensPerRow"] === tokensPerRow
        ? of.mismatch(description, Math.floor(length / tokensPerRow))
        : { name: "tokensPerRow", want: tokensPerRow, got: description["tokensPerRow"] },
    restore: (description, length, take) =>
      around(of.restore(description, Math.floor(length / tokensPerRow), take), length),
  };
}
