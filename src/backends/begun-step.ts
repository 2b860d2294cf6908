/** @file The rule that operations of a step follow its `Ops.beginStep`. */
import { assert } from "../errors.ts";
import type { Step } from "./ops.ts";

/** begun: the step that was begun last · what: the operation that asks */
export function assertBegun(step: Step, begun: Step | null, what: string): void {
  assert(step === begun, `${what}: beginStep was last called for another step`);
}
