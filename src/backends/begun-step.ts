/** @file Checks that the operations of a step come after its `Ops.beginStep`. */
import { assert } from "../errors.ts";
import type { Step } from "./ops.ts";

/** begun: the step that was begun last · what: the operation that is called, for the message */
export function assertBegun(step: Step, begun: Step | null, what: string): void {
  assert(step === begun, `${what}: beginStep was last called for another step`);
}
