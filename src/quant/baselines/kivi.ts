/**
 * @file KIVI (arXiv 2402.02750): asymmetric min/max integers, keys by channel over groups of 64 tokens, values by token over
 * groups of 64 channels. A baseline to compare with: codecs/channel/ stores it.
 *
 * x̂ = zero + code · scale with zero = f16(min) and scale = f16((max − min) / (2^bits − 1)). The paper's own groups are of 32,
 * which cost a whole bit a number; 64 cost half a bit, as much as the blocks of q4_0r.
 */
import { fromFloat16Bits, toFloat16Bits } from "../../math/float16.ts";
import { packCodes, unpackCodes } from "../bit-pack.ts";
import { PAGE_TOKENS } from "../page-regions.ts";
import type { Bits } from "../rules.ts";
import { MAX_FLOAT16, sanitize } from "../sanitize.ts";
import { checkLength, checkShape } from "../turboquant-mse.ts";

/** Tokens of a key channel, or channels of a value, that share a scale and a zero: a page of keys. */
export const KIVI_GROUP = PAGE_TOKENS;

/** Codes of one group of tokens of K, or of one vector of V. */
export interface KiviCode {
  /** Packed bits; keys in the order [channel][token], values [channel]. */
  readonly codes: Uint8Array;
  /** f16 bits, one scale for each group. */
  readonly scales: Uint16Array;
  /** f16 bits of each group's smallest value. */
  readonly zeros: Uint16Array;
}

export class KiviCodec {
  readonly headDim: number;
  readonly bits: number;
  /** Bytes of 64 keys. */
  readonly numKeyBytes: number;
  /** Bytes of one value vector. */
  readonly numValueBytes: number;

  /** @throws TurboQuantError invalid_argument — headDim not a multiple of 8, or bits outside 1–8 */
  constructor(headDim: number, bits: Bits) {
    checkShape("kivi", headDim, bits, 1);
    this.headDim = headDim;
    this.bits = bits;
    this.numKeyBytes = (KIVI_GROUP * headDim * bits) / 8 + 4 * headDim;
    this.numValueBytes = (headDim * bits) / 8 + 4 * Math.ceil(headDim / KIVI_GROUP);
  }

  /** keys: [64][headDim]; NaN becomes 0, and values beyond ±65504 are clamped */
  quantizeKeys(keys: Float32Array): KiviCode {
    checkLength("kivi: keys of a group", keys, KIVI_GROUP * this.headDim);
    const byChannel = transpose(keys, KIVI_GROUP, this.headDim);
    return this.#quantize(byChannel);
  }

  /** returns: [64][headDim] */
  dequantizeKeys(code: KiviCode): Float32Array {
    return transpose(this.#dequantize(code, KIVI_GROUP * this.headDim), this.headDim, KIVI_GROUP);
  }

  /** value: [headDim], sanitized like keys */
  quantizeValue(value: Float32Array): KiviCode {
    checkLength("kivi: value", value, this.headDim);
    return this.#quantize(value.slice());
  }

  /** returns: [headDim] */
  dequantizeValue(code: KiviCode): Float32Array {
    return this.#dequantize(code, this.headDim);
  }

  #quantize(x: Float32Array): KiviCode {
    const { codes, scales, zeros } = quantizeGroups(x, this.bits);
    return { codes: packCodes(codes, this.bits), scales, zeros };
  }

  #dequantize({ codes, scales, zeros }: KiviCode, n: number): Float32Array {
    checkLength("kivi: codes", codes, (n * this.bits) / 8);
    checkLength("kivi: scales", scales, Math.ceil(n / KIVI_GROUP));
    checkLength("kivi: zeros", zeros, Math.ceil(n / KIVI_GROUP));
    return Float32Array.from(unpackCodes(codes, this.bits, n), (code, i) => {
      const g = Math.floor(i / KIVI_GROUP);
      return fromFloat16Bits(zeros[g]!) + code * fromFloat16Bits(scales[g]!);
    });
  }
}

/** Integers of groups of `size`; the last group may be shorter. Sanitizes x in place. */
export function quantizeGroups(
  x: Float32Array,
  bits: number,
  size: number = KIVI_GROUP,
): { codes: Uint8Array; scales: Uint16Array; zeros: Uint16Array } {
  sanitize(x);
  const numGroups = Math.ceil(x.length / size);
  const scales = new Uint16Array(numGroups);
  const zeros = new Uint16Array(numGroups);
  const codes = new Uint8Array(x.length);
  const largest = 2 ** bits - 1;
  for (let g = 0; g < numGroups; g++) {
    const group = x.subarray(g * size, (g + 1) * size);
    let min = Number.POSITIVE_INFINITY;
    let max = Number.NEGATIVE_INFINITY;
    for (const value of group) {
      min = Math.min(min, value);
      max = Math.max(max, value);
    }
    zeros[g] = toFloat16Bits(min);
    scales[g] = toFloat16Bits(Math.min(MAX_FLOAT16, (max - min) / largest));
    // Codes are chosen with the stored f16 numbers, so that their rounding errors do not add to those of the codes.
    const zero = fromFloat16Bits(zeros[g]!);
    const scale = fromFloat16Bits(scales[g]!);
    for (let i = 0; i < group.length; i++) {
      const level = scale > 0 ? Math.round((group[i]! - zero) / scale) : 0;
      codes[g * size + i] = Math.max(0, Math.min(largest, level));
    }
  }
  return { codes, scales, zeros };
}

/** [rows][columns] → [columns][rows] */
export function transpose(x: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(x.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) out[c * rows + r] = x[r * columns + c]!;
  return out;
}
