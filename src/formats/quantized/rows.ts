/**
 * @file Brings rows of quantized weights into formats of the registry: integer codes into q4 or q8 code by code, FP4 into ggml's MXFP4,
 * anything else by way of floats.
 */
import { toFloat16Bits } from "../../math/float16.ts";
import { GROUP } from "../../weights/groups.ts";
import { type WeightType, weightFormat } from "../../weights/registry.ts";
import { rowBytes } from "../../weights/weight-format.ts";
import type { QuantKind, ReadableWeight } from "./scheme.ts";

/** Codes of a matrix; value = scale · code + minimum. */
export interface IntegerCodes {
  /** From 0 to 2^bits − 1. */
  code(row: number, input: number): number;
  scale(row: number, group: number): number;
  minimum(row: number, group: number): number;
  /** The group of each input; absent where groups are runs of inputs. */
  readonly groupOf?: Int32Array | null;
}

export interface IntegerMatrix {
  readonly shape: readonly [rows: number, cols: number];
  readonly bits: number;
  /** Inputs of a group. */
  readonly size: number;
  /** Whether inputs belong to other groups than their place says, so that blocks of neighbours have no common scale. */
  readonly isOutOfOrder?: boolean;
  open(): Promise<IntegerCodes>;
}

/**
 * What `integerWeight` makes of codes of these widths. hasZeros: whether minima are whole numbers of steps, without which int8 cannot
 * hold the codes
 */
export function integerKinds(widths: readonly number[], hasZeros = true): QuantKind[] {
  const kind = (bits: readonly number[], as: WeightType, keepsCodes: boolean): QuantKind[] =>
    bits.length === 0 ? [] : [{ what: `integers of ${bits.join(", ")} bits`, as, keepsCodes }];
  const narrow = widths.filter((bits) => bits <= 4);
  const wide = widths.filter((bits) => bits > 4);
  return [...kind(narrow, "q4", true), ...kind(wide, "q8", hasZeros)];
}

/** Up to four bits as q4 and eight as q8, code by code where groups allow it; other codes rounded to q8. */
export function integerWeight(matrix: IntegerMatrix): ReadableWeight {
  const { shape, bits, size, isOutOfOrder } = matrix;
  const isByBlocks = !isOutOfOrder && (size % GROUP === 0 || size >= shape[1]);
  if (!isByBlocks) return roundedWeight(shape, () => valuesOf(matrix));
  return bits <= 4 ? affineWeight(matrix) : centredWeight(matrix);
}

async function valuesOf({ shape: [, cols], size, open }: IntegerMatrix) {
  const { code, scale, minimum, groupOf } = await open();
  return (row: number, out: Float32Array): void => {
    for (let i = 0; i < cols; i++) {
      const group = groupOf ? groupOf[i]! : Math.floor(i / size);
      out[i] = scale(row, group) * code(row, i) + minimum(row, group);
    }
  };
}

/** The codes as they are, scale and minimum in f16 (a relative error of 2^-11 where they are not). */
function affineWeight({ shape, size, open }: IntegerMatrix): ReadableWeight {
  return weightOf("q4", shape, async (bytes) => {
    const { code, scale, minimum } = await open();
    const cols = shape[1];
    return (row, at) => {
      const view = new DataView(bytes.buffer);
      for (let start = 0, to = at; start < cols; start += GROUP, to += 20) {
        const group = Math.floor(start / size);
        view.setUint16(to, toFloat16Bits(scale(row, group)), true);
        view.setUint16(to + 2, toFloat16Bits(minimum(row, group)), true);
        for (let i = start; i < Math.min(cols, start + GROUP); i++) {
          bytes[to + 4 + ((i - start) & 15)]! |= code(row, i) << (i - start < 16 ? 0 : 4);
        }
      }
    };
  });
}

/** Codes less their zero where int8 holds them in a block, with their scale: exactly. Other blocks are rounded. */
function centredWeight({ shape, size, open }: IntegerMatrix): ReadableWeight {
  return weightOf("q8", shape, async (bytes) => {
    const { code, scale, minimum } = await open();
    const cols = shape[1];
    const codes = new Int8Array(bytes.buffer);
    const view = new DataView(bytes.buffer);
    const values = new Float32Array(GROUP);
    return (row, at) => {
      for (let start = 0, to = at; start < cols; start += GROUP, to += 4 + GROUP) {
        const count = Math.min(GROUP, cols - start);
        const group = Math.floor(start / size);
        const [step, base] = [scale(row, group), minimum(row, group)];
        const zero = step === 0 ? 0 : -base / step;
        let isExact = Number.isInteger(zero);
        for (let i = 0; isExact && i < count; i++) {
          const centred = code(row, start + i) - zero;
          isExact = centred >= -128 && centred <= 127;
          codes[to + 4 + i] = centred;
        }
        if (isExact) {
          view.setFloat32(to, step, true);
          continue;
        }
        for (let i = 0; i < count; i++) values[i] = step * code(row, start + i) + base;
        bytes.set(weightFormat("q8").quantize!(values.subarray(0, count), 1, count), to);
      }
    };
  });
}

/** int8 codes of a row and the scale of each `group` inputs, as q8: exactly. */
export function int8Weight(
  shape: readonly [number, number],
  group: number,
  open: () => Promise<{ codes: Int8Array; scaleOf: (row: number, group: number) => number }>,
): ReadableWeight {
  return weightOf("q8", shape, async (bytes) => {
    const { codes, scaleOf } = await open();
    const cols = shape[1];
    const view = new DataView(bytes.buffer);
    const out = new Int8Array(bytes.buffer);
    return (row, at) => {
      for (let start = 0, to = at; start < cols; start += GROUP, to += 4 + GROUP) {
        view.setFloat32(to, scaleOf(row, Math.floor(start / group)), true);
        out.set(codes.subarray(row * cols + start, row * cols + Math.min(cols, start + GROUP)), to + 4);
      }
    };
  });
}

/**
 * FP4 in blocks of 32 with a power of two as scale, as ggml's MXFP4: exactly. codes: two neighbours a byte, the first in the low
 * half · exponents: 2^(e − 127), a byte a block
 *
 * shape: [outputs, inputs], or with experts before them
 */
export function mxfp4Weight(
  shape: readonly number[],
  open: () => Promise<{ codes: Uint8Array; exponents: Uint8Array }>,
): ReadableWeight {
  return {
    dtype: "mxfp4",
    shape,
    async read() {
      const { codes, exponents } = await open();
      const out = new Uint8Array(exponents.length * 17);
      for (let block = 0, at = 0; block < exponents.length; block++, at += 17) {
        out[at] = exponents[block]!;
        const from = block * 16;
        for (let i = 0; i < 16; i++) {
          const [low, high] = [codes[from + (i >> 1)]!, codes[from + 8 + (i >> 1)]!];
          out[at + 1 + i] = i & 1 ? (low >> 4) | (high & 0xf0) : (low & 15) | ((high & 15) << 4);
        }
      }
      return out;
    },
  };
}

/** Rounds the values of a row to q8, 8 bits in groups of 32. */
export function roundedWeight(
  shape: readonly [number, number],
  open: () => Promise<(row: number, out: Float32Array) => void>,
): ReadableWeight {
  return weightOf("q8", shape, async (bytes) => {
    const fill = await open();
    const values = new Float32Array(shape[1]);
    return (row, at) => {
      fill(row, values);
      bytes.set(weightFormat("q8").quantize!(values, 1, values.length), at);
    };
  });
}

/** open: gives the function that writes a row into the bytes from `at` on */
function weightOf(
  dtype: WeightType,
  shape: readonly [number, number],
  open: (bytes: Uint8Array<ArrayBuffer>) => Promise<(row: number, at: number) => void>,
): ReadableWeight {
  return {
    dtype,
    shape,
    async read() {
      const [rows, cols] = shape;
      const perRow = rowBytes(weightFormat(dtype), cols);
      const bytes = new Uint8Array(rows * perRow);
      const write = await open(bytes);
      for (let row = 0; row < rows; row++) write(row, row * perRow);
      return bytes;
    },
  };
}
