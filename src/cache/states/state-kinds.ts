/** @file The list of all kinds of state. */
import { compressedKind } from "./compressed-slot.ts";
import { kvKind } from "./kv-slot.ts";
import { recurrentKind } from "./recurrent-slot.ts";
import type { StateDescription, StateKind } from "./state-slot.ts";

const stateKinds: Readonly<Record<string, StateKind>> = {
  kv: kvKind,
  compressed: compressedKind,
  recurrent: recurrentKind,
};

/** The kind that can read a description from a snapshot; one without `kind` is keys and values. undefined for an unknown kind. */
export function kindOf(description: StateDescription): StateKind | undefined {
  const { kind = "kv" } = description;
  return typeof kind === "string" && Object.hasOwn(stateKinds, kind) ? stateKinds[kind] : undefined;
}
