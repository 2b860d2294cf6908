/** @file Loads a weight whose parts are in memory as a whole. */
import { stackedShape } from "../weights/weight-part.ts";
import type { Ops, Weight, WeightPart, WeightType } from "./ops.ts";

/** See `Ops.loadWeight`. */
export function loadParts(ops: Pick<Ops, "createWeight">, parts: readonly WeightPart[], as: WeightType): Weight {
  const { rows, cols } = stackedShape(parts);
  const writer = ops.createWeight(rows, cols, as);
  let row = 0;
  for (const part of parts) {
    writer.write(part, row);
    row += part.rows;
  }
  return writer.finish();
}
