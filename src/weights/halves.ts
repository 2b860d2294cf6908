/** @file The common part of the two 16-bit float formats. */
import { bytesOf, elements } from "./elements.ts";
import type { WeightFormat } from "./weight-format.ts";

/** Patterns that are looked at for NaN and infinity in pairs, before one by one. */
const PATTERNS_AT_ONCE = 1 << 13;

export interface HalfFormat {
  readonly name: string;
  /** Mask of the exponent bits; NaN and infinity have all of them set. */
  readonly exponentMask: number;
  toFloat(bits: number): number;
  fromFloat(value: number): number;
}

type PlainFormat = Pick<WeightFormat, "name" | "block" | "dequantize" | "firstNonFinite"> &
  Required<Pick<WeightFormat, "quantize">>;

export function halfFormat({ name, exponentMask, toFloat, fromFloat }: HalfFormat): PlainFormat {
  /** f32 value of each of the 65,536 bit patterns, so that conversion is a lookup. Made on first use. */
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
      const pairs = elements(stored.subarray(0, stored.length & ~3), Int32Array);
      // Added to a pattern without its sign, this reaches the sign's bit if all bits of the exponent are set.
      const step = (0x8000 - exponentMask) * 0x10001;
      for (let start = 0; start < patterns.length; start += PATTERNS_AT_ONCE) {
        const end = Math.min(patterns.length, start + PATTERNS_AT_ONCE);
        let found = 0;
        for (let i = start >> 1; i < end >> 1; i++) found |= (pairs[i]! & 0x7fff7fff) + step;
        // A last one without a neighbour is looked at as well.
        if ((found & 0x80008000) === 0 && end % 2 === 0) continue;
        for (let i = start; i < end; i++) if ((patterns[i]! & exponentMask) === exponentMask) return i;
      }
      return -1;
    },
  };
}

/** WGSL that reads a unit of eight columns, two values a word. pair: expression for the two floats of a u32 */
export const readPairs = (pair: (word: string) => string): string => `
  let w = words[row_at + unit];
  return array<vec4f, 2>(vec4f(${pair("w.x")}, ${pair("w.y")}), vec4f(${pair("w.z")}, ${pair("w.w")}));`;
