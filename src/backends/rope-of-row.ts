/** @file Which rope a row of a step has. */
import type { Rope } from "./ops.ts";

/** rope: one of those of the step · row: of the step */
export const ropeOfRow = (rope: Rope, row: number): Rope => rope.ofRows?.[row] ?? rope;
