/** @file Rows of a checkpoint's matrix as the bytes that kernels read: units of eight columns; q8 and q4 in groups of 32. */
import { fromBfloat16Bits, fromFloat16Bits, toFloat16Bits } from "../../../math/float16.ts";
import { MAX_FLOAT16 } from "../../../quant/sanitize.ts";
import { isGrouped, quantizeRows } from "../../grouped-weights.ts";
import type { WeightPart, WeightType } from "../../ops.ts";
import { DTYPE_BYTES } from "../../weights.ts";

/** Columns that a kernel reads at once. */
export const UNIT = 8;
const UNIT_BYTES: Readonly<Record<WeightType, number>> = { f32: 32, f16: 16, bf16: 16, q8: 8, q4: 4 };
export const unitBytes = (type: WeightType): number => UNIT_BYTES[type];

export interface RowBytes {
  readonly words: Uint8Array<ArrayBuffer>;
  readonly scales: Float32Array<ArrayBuffer> | null;
}

/** stride: units of a row of the result */
export function convertRows(part: WeightPart, first: number, count: number, as: WeightType, stride: number): RowBytes {
  const { cols, dtype } = part;
  const rowBytes = cols * DTYPE_BYTES[dtype];
  const source = part.data.subarray(first * rowBytes, (first + count) * rowBytes);
  if (dtype === as && stride * UNIT === cols) return { words: source as Uint8Array<ArrayBuffer>, scales: null };
  const padded = stride * UNIT;
  if (isGrouped(as)) {
    const { codes, scales } = quantizeRows(floatsOf(source, dtype), count, cols, as);
    return { words: as === "q8" ? new Uint8Array(codes.buffer) : packNibbles(codes), scales };
  }
  if (as === "f32") {
    const words = new Float32Array(count * padded);
    place(floatsOf(source, dtype), words, count, cols, padded);
    return { words: new Uint8Array(words.buffer), scales: null };
  }
  const halves = new Uint16Array(count * padded);
  place(halvesOf(source, dtype, as === "bf16" ? "bf16" : "f16"), halves, count, cols, padded);
  return { words: new Uint8Array(halves.buffer), scales: null };
}

function place<T extends Float32Array | Uint16Array>(from: T, to: T, rows: number, cols: number, padded: number): void {
  for (let r = 0; r < rows; r++) to.set(from.subarray(r * cols, (r + 1) * cols), r * padded);
}

/** The bytes as 16-bit or 32-bit elements, copied where they are not aligned. */
function elements<T>(
  bytes: Uint8Array,
  Type: { new (buffer: ArrayBufferLike, offset: number, length: number): T; readonly BYTES_PER_ELEMENT: number },
): T {
  const size = Type.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return new Type(aligned.buffer, aligned.byteOffset, aligned.byteLength / size);
}

/** Every 16-bit pattern in another type: conversion is a lookup. */
const tables = new Map<string, Float32Array | Uint16Array>();
function tableOf<T extends Float32Array | Uint16Array>(key: string, make: (bits: number) => number, table: T): T {
  const known = tables.get(key);
  if (known) return known as T;
  for (let i = 0; i < 65536; i++) table[i] = make(i);
  tables.set(key, table);
  return table;
}

function floatsOf(source: Uint8Array, dtype: WeightPart["dtype"]): Float32Array {
  if (dtype === "f32") return elements(source, Float32Array);
  const bits = elements(source, Uint16Array);
  const table = tableOf(`${dtype} f32`, dtype === "f16" ? fromFloat16Bits : fromBfloat16Bits, new Float32Array(65536));
  const out = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = table[bits[i]!]!;
  return out;
}

const word = new Float32Array(1);
const wordBits = new Uint32Array(word.buffer);
/** Nearest bf16, ties to even. */
function toBfloat16Bits(value: number): number {
  word[0] = value;
  const bits = wordBits[0]!;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}
/** Values beyond ±65504 are clamped. */
const toClampedFloat16Bits = (value: number): number =>
  toFloat16Bits(Math.max(-MAX_FLOAT16, Math.min(MAX_FLOAT16, value)));

function halvesOf(source: Uint8Array, dtype: WeightPart["dtype"], as: "f16" | "bf16"): Uint16Array {
  const round = as === "f16" ? toClampedFloat16Bits : toBfloat16Bits;
  if (dtype === "f32") return Uint16Array.from(elements(source, Float32Array), round);
  const bits = elements(source, Uint16Array);
  if (dtype === as) return bits;
  const value = dtype === "f16" ? fromFloat16Bits : fromBfloat16Bits;
  const table = tableOf(`${dtype} ${as}`, (i) => round(value(i)), new Uint16Array(65536));
  const out = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = table[bits[i]!]!;
  return out;
}

/** Two codes a byte, the even column in the low nibble, as two's complement. */
function packNibbles(codes: Int8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(codes.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = (codes[2 * i]! & 15) | ((codes[2 * i + 1]! & 15) << 4);
  return bytes;
}

/** The largest magnitude of converted bf16, q8 or q4 rows; not finite when one of them is not. */
export function peakOf(words: Uint8Array, scales: Float32Array | null, as: WeightType): number {
  if (scales) return (as === "q8" ? 127 : 8) * scales.reduce((most, scale) => Math.max(most, Math.abs(scale)), 0);
  const bits = elements(words, Uint16Array);
  let most = 0;
  for (let i = 0; i < bits.length; i++) most = Math.max(most, bits[i]! & 0x7fff);
  return fromBfloat16Bits(most);
}
