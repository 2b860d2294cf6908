/** @file Checks, stacks and converts weights on their way from a checkpoint to a backend. */
import { TurboQuantError } from "../errors.ts";
import { bytesOf, elements } from "./elements.ts";
import { type WeightType, weightFormat } from "./registry.ts";
import { isPlain, matrixBytes, rowBytes, type WeightFormat } from "./weight-format.ts";

/** Rows of a matrix as a checkpoint stores them. Several parts are stacked to one matrix, one below the other. */
export interface WeightPart {
  readonly dtype: WeightType;
  readonly rows: number;
  readonly cols: number;
  readonly data: Uint8Array;
}

/**
 * Shape of the stacked matrix.
 * @throws TurboQuantError invalid_argument — columns differ or bytes do not match
 */
export function stackedShape(parts: readonly WeightPart[]): { rows: number; cols: number } {
  const cols = parts[0]?.cols ?? 0;
  let rows = 0;
  for (const part of parts) {
    checkPart(part, cols);
    rows += part.rows;
  }
  return { rows, cols };
}

/** @throws TurboQuantError invalid_argument — other columns, or bytes that do not match the shape */
export function checkPart(part: WeightPart, cols: number): void {
  const expected = matrixBytes(weightFormat(part.dtype), part.rows, part.cols);
  if (part.cols === cols && part.data.byteLength === expected) return;
  throw new TurboQuantError(
    "invalid_argument",
    `weight: expected ${part.rows}x${cols} ${part.dtype} in ${expected} bytes, got ${part.cols} columns in ${part.data.byteLength} bytes`,
  );
}

/** All parts stacked, as f32 [rows][cols]. */
export function stackParts(parts: readonly WeightPart[]): { rows: number; cols: number; data: Float32Array } {
  const { rows, cols } = stackedShape(parts);
  const data = new Float32Array(rows * cols);
  let at = 0;
  for (const part of parts) {
    const count = part.rows * part.cols;
    weightFormat(part.dtype).dequantize(part.data, part.rows, part.cols, data.subarray(at, at + count));
    at += count;
  }
  return { rows, cols, data };
}

/** Rows [first, first + count) of a part, as stored. */
export function storedRows(part: WeightPart, first: number, count: number): Uint8Array {
  const bytes = rowBytes(weightFormat(part.dtype), part.cols);
  return part.data.subarray(first * bytes, (first + count) * bytes);
}

/** Rows [first, first + count) of a part as f32 [count][cols]. */
export function floatRows(part: WeightPart, first: number, count: number): Float32Array {
  const out = new Float32Array(count * part.cols);
  weightFormat(part.dtype).dequantize(storedRows(part, first, count), count, part.cols, out);
  return out;
}

/**
 * Rows [first, first + count) of a part in format `as`, if that is possible without changing any value: the stored bytes when
 * the formats are equal, or the result of the format's own `convert`. null when the values have to be quantized from floats.
 */
export function exactRows(
  part: WeightPart,
  first: number,
  count: number,
  as: WeightType,
): Uint8Array<ArrayBuffer> | null {
  const stored = storedRows(part, first, count) as Uint8Array<ArrayBuffer>;
  if (part.dtype === as) return stored;
  const { keptAs } = weightFormat(part.dtype);
  return keptAs?.type === as && keptAs.convert ? keptAs.convert(stored, count, part.cols) : null;
}

/**
 * Rows [first, first + count) of a part in format `as`: exact where `exactRows` allows it, else dequantized to f32 and quantized.
 * @throws TurboQuantError unsupported — nothing can be quantized to that format
 */
export function rowsAs(part: WeightPart, first: number, count: number, as: WeightType): Uint8Array<ArrayBuffer> {
  const exact = exactRows(part, first, count, as);
  if (exact) return exact;
  const [from, to] = [weightFormat(part.dtype), weightFormat(as)];
  if (isHalf(from) && isHalf(to)) return lookUp(storedRows(part, first, count), from, to);
  return quantized(to, floatRows(part, first, count), count, part.cols);
}

/**
 * The values that a backend computes with when it keeps the parts as `as`, stacked as f32 [rows][cols]. Plain numbers are not
 * rounded to other plain numbers.
 */
export function keptValues(parts: readonly WeightPart[], as: WeightType): ReturnType<typeof stackParts> {
  if (isPlain(weightFormat(as))) return stackParts(parts);
  return stackParts(parts.map((part) => ({ ...part, dtype: as, data: rowsAs(part, 0, part.rows, as) })));
}

function quantized(format: WeightFormat, values: Float32Array, rows: number, cols: number): Uint8Array<ArrayBuffer> {
  if (format.quantize) return format.quantize(values, rows, cols);
  throw new TurboQuantError(
    "unsupported",
    `weights: nothing is quantized to ${format.name}, it comes from checkpoints only; choose auto or another type`,
    { type: format.name },
  );
}

const isHalf = (format: WeightFormat): boolean => isPlain(format) && format.block.codeBits === 16;

/** For two 16-bit formats: each bit pattern of the one in the other. */
const tables = new Map<string, Uint16Array>();

function lookUp(stored: Uint8Array, from: WeightFormat, to: WeightFormat): Uint8Array<ArrayBuffer> {
  const key = `${from.name} ${to.name}`;
  let table = tables.get(key);
  if (!table) {
    const patterns = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
    const values = new Float32Array(65536);
    from.dequantize(bytesOf(patterns), 1, 65536, values);
    table = elements(quantized(to, values, 1, 65536), Uint16Array);
    tables.set(key, table);
  }
  const patterns = elements(stored, Uint16Array);
  const out = new Uint16Array(patterns.length);
  for (let i = 0; i < out.length; i++) out[i] = table[patterns[i]!]!;
  return bytesOf(out);
}
