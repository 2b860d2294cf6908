/** @file How a state of fixed size is created for a cache and restored from a snapshot. */
import type { PagePool } from "../page-pool.ts";
import { RecurrentState } from "./recurrent-state.ts";
import type { RecurrentShape } from "./state-shape.ts";
import { isCount, type StateKind, type StateSlot } from "./state-slot.ts";

export const recurrentKind: StateKind = {
  isSound: ({ numBytes }) => isCount(numBytes),
  pageBytes: ({ numBytes }, length) => (length > 0 ? (numBytes as number) : 0),
};

/** group: page group of this state, see `PageStorage.allocate` · layer: its index in the model */
export function recurrentSlot(
  { numBytes, isChunked }: RecurrentShape,
  group: number,
  pool: PagePool,
  layer: number,
): StateSlot {
  const create = (): RecurrentState => new RecurrentState(numBytes, group, pool);
  return {
    kind: "recurrent",
    layer,
    fixedBytes: numBytes,
    isRowInvariant: !isChunked,
    create,
    mismatch: (description) =>
      description["kind"] === "recurrent" && description["numBytes"] === numBytes
        ? null
        : { name: "numBytes", want: numBytes, got: description["numBytes"] },
    restore: (_, length, take) => {
      const state = create();
      state.adopt(length, length > 0 ? take(pool, numBytes, group) : 0);
      return state;
    },
  };
}
