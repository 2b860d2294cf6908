/** @file The buffers that a weight matrix is cut into, which depend only on its shape and type. */
import { weightFormat, wgslWeightFormat } from "../../../weights/registry.ts";
import { isVector } from "../../../weights/weight-format.ts";
import type { WeightType } from "../../ops.ts";

/** Columns that a kernel reads at once. */
const UNIT = 8;

/** Units of eight columns between the starts of two rows. */
export function strideOf(cols: number, type: WeightType): number {
  const { groupUnits } = wgslWeightFormat(type);
  return Math.ceil(cols / (UNIT * groupUnits)) * groupUnits;
}

/** Bytes of a row in each buffer, and rows in a buffer. limit: the most bytes of one buffer · unit: rows that lie in one */
export function chunking(cols: number, type: WeightType, limit: number, unit = 1) {
  const { unitBytes, unitScaleBytes } = wgslWeightFormat(type);
  const stride = strideOf(cols, type);
  return {
    rowBytes: stride * unitBytes,
    rowScaleBytes: stride * unitScaleBytes,
    perChunk: unit * Math.max(1, Math.floor(limit / (unit * stride * Math.max(unitBytes, unitScaleBytes)))),
  };
}

/** The buffers that a matrix is cut into: rows and bytes of each. limit, unit: as of `chunking` */
export function weightBuffers(rows: number, cols: number, type: WeightType, limit: number, unit = 1) {
  if (isVector(weightFormat(type), rows, cols)) return [{ first: 0, rows, wordBytes: rows * cols * 4, scaleBytes: 0 }];
  const { rowBytes, rowScaleBytes, perChunk } = chunking(cols, type, limit, unit);
  return Array.from({ length: Math.ceil(rows / perChunk) }, (_, i) => {
    const count = Math.min(perChunk, rows - i * perChunk);
    return {
      first: i * perChunk,
      rows: count,
      wordBytes: count * rowBytes,
      scaleBytes: count * rowScaleBytes,
    };
  });
}
