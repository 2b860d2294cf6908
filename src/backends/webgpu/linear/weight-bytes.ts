/** @file Converts rows of a checkpoint's matrix to what kernels read: units of eight columns, and scales beside them. */
import { wgslWeightFormat } from "../../../weights/registry.ts";
import type { DeviceRows } from "../../../weights/weight-format.ts";
import { rowsAs, type WeightPart } from "../../../weights/weight-part.ts";
import type { WeightType } from "../../ops.ts";

/** stride: units in a row of the result */
export function convertRows(
  part: WeightPart,
  first: number,
  count: number,
  as: WeightType,
  stride: number,
): DeviceRows {
  const { split, unitBytes } = wgslWeightFormat(as);
  const stored = rowsAs(part, first, count, as);
  if (split) return split(stored, count, part.cols);
  return { words: padRows(stored, count, stride * unitBytes), scales: null };
}

/** Pads rows with zeros to `rowBytes`. */
function padRows(stored: Uint8Array<ArrayBuffer>, rows: number, rowBytes: number): Uint8Array<ArrayBuffer> {
  const own = stored.length / rows;
  if (own === rowBytes) return stored;
  const padded = new Uint8Array(rows * rowBytes);
  for (let r = 0; r < rows; r++) padded.set(stored.subarray(r * own, (r + 1) * own), r * rowBytes);
  return padded;
}
