/** @file What the two 16-bit float formats have in common. */
import { bytesOf, elements } from "./elements.ts";
import type { WeightFormat } from "./weight-format.ts";

export interface HalfFormat {
  readonly name: string;
  /** Bits of the exponent: all ones mark NaN and infinity. */
  readonly exponentMask: number;
  toFloat(bits: number): number;
  fromFloat(value: number): number;
}

type PlainFormat = Pick<WeightFormat, "name" | "block" | "dequantize" | "firstNonFinite"> &
  Required<Pick<WeightFormat, "quantize">>;

export function halfFormat({ name, exponentMask, toFloat, fromFloat }: HalfFormat): PlainFormat {
  /** The value of every pattern: conversion is a lookup. */
  let table: Float32Array | null = null;
  const valuesOfPatterns = (): Float32Array => {
    table ??= Float32Array.from({ length: 65536 }, (_, bits) => toFloat(bits));
    return table;
  };
  return {
    name,
    block: { values: 1, codeBits: 16, parts: [] },
    dequantize(stored, _rows, _cols, out) {
      const patterns = elements(stored, Uint16Array);
      const values = valuesOfPatterns();
      for (let i = 0; i < patterns.length; i++) out[i] = values[patterns[i]!]!;
    },
    quantize(values) {
      const patterns = new Uint16Array(values.length);
      for (let i = 0; i < values.length; i++) patterns[i] = fromFloat(values[i]!);
      return bytesOf(patterns);
    },
    firstNonFinite(stored) {
      const patterns = elements(stored, Uint16Array);
      for (let i = 0; i < patterns.length; i++) if ((patterns[i]! & exponentMask) === exponentMask) return i;
      return -1;
    },
  };
}

/** WGSL that reads a unit of two values a word. pair: two floats of a u32 */
export const readPairs = (pair: (word: string) => string): string => `
  let w = words[row_at + unit];
  return array<vec4f, 2>(vec4f(${pair("w.x")}, ${pair("w.y")}), vec4f(${pair("w.z")}, ${pair("w.w")}));`;
