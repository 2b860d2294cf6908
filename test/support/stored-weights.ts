/** @file Matrices as checkpoints store them, in any format of the registry. */
import type { WeightPart, WeightType } from "../../src/backends/ops.ts";
import { CounterRng } from "../../src/math/rng.ts";
import { wasmSources, weightFormat, weightTypes } from "../../src/weights/registry.ts";
import { matrixBytes } from "../../src/weights/weight-format.ts";
import { rowsAs, stackParts, storedRows } from "../../src/weights/weight-part.ts";

/** Formats that only checkpoints have, from many bits to few. */
export const BLOCK_TYPES: readonly WeightType[] = wasmSources()
  .map(({ name }) => name as WeightType)
  .filter((name) => !weightTypes().includes(name));

/** The values, rounded to this format. */
export function storedAs(type: WeightType, values: Float32Array, cols: number): WeightPart {
  const rows = values.length / cols;
  return { dtype: type, rows, cols, data: weightFormat(type).quantize!(values.slice(), rows, cols) };
}

/** Blocks of random bytes, all of whose values are zero or from `least` to what f16 holds. */
export function randomBlocks(type: WeightType, rows: number, cols: number, least = 0): WeightPart {
  const format = weightFormat(type);
  const values = format.block.values as number;
  const data = new Uint8Array(matrixBytes(format, rows, cols));
  const blockBytes = data.length / ((rows * cols) / values);
  const rng = new CounterRng(5, 0);
  const floats = new Float32Array(values);
  let drawn = 0;
  const isFit = (block: Uint8Array): boolean => {
    if (format.firstNonFinite(block, 1, values) >= 0) return false;
    format.dequantize(block, 1, values, floats);
    return floats.every((value) => value === 0 || (Math.abs(value) >= least && Math.abs(value) < 65504));
  };
  for (let at = 0; at < data.length; at += blockBytes) {
    const block = data.subarray(at, at + blockBytes);
    do for (let i = 0; i < blockBytes; i++) block[i] = Math.floor(256 * rng.uniform(drawn++));
    while (!isFit(block));
  }
  return { dtype: type, rows, cols, data };
}

/** The same matrix in two parts. */
export function inTwo(part: WeightPart, first: number): WeightPart[] {
  const cut = (from: number, rows: number): WeightPart => ({ ...part, rows, data: storedRows(part, from, rows) });
  return [cut(0, first), cut(first, part.rows - first)];
}

/** What a backend that keeps the part as `as` has to hold, by the definitions of the two formats. [rows][cols] */
export const definedValues = (part: WeightPart, as: WeightType): Float32Array =>
  stackParts([{ ...part, dtype: as, data: rowsAs(part, 0, part.rows, as) }]).data;
