/** @file Every kind of state, one line each. */
import { kvKind } from "./kv-slot.ts";
import { recurrentKind } from "./recurrent-slot.ts";
import type { StateDescription, StateKind } from "./state-slot.ts";

const stateKinds: Readonly<Record<string, StateKind>> = { kv: kvKind, recurrent: recurrentKind };

/** Of a description in a snapshot; one without a kind is of keys and values. Undefined for a kind of another build. */
export function kindOf(description: StateDescription): StateKind | undefined {
  const { kind = "kv" } = description;
  return typeof kind === "string" && Object.hasOwn(stateKinds, kind) ? stateKinds[kind] : undefined;
}
