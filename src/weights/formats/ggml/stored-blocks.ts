/**
 * @file What the block formats of ggml have in common: they come from checkpoints, no kernel computes with them, and a row is a run
 * of whole blocks with f16 scales. The layouts are those of `ggml-common.h`; the definitions are f32, one rounding an operation.
 */
import { fromFloat16Bits } from "../../../math/float16.ts";
import { type BlockPart, FIRST_BLOCKS_CODE, type KeptAs, type WeightFormat } from "../../weight-format.ts";

/** The f16 number at a place of stored bytes. */
export const halfAt = (bytes: Uint8Array, at: number): number => fromFloat16Bits(bytes[at]! | (bytes[at + 1]! << 8));

export interface StoredBlocks {
  readonly name: string;
  /** ggml's number of the type, at most 200. */
  readonly number: number;
  readonly values: number;
  readonly codeBits: number;
  readonly parts: readonly BlockPart[];
  readonly keptAs: KeptAs;
  /** Offsets of the f16 numbers of a block, which alone can be NaN or infinite. */
  readonly halves: readonly number[];
  /** Writes the values of the block at bytes[at] to out[to .. to + values). */
  unpack(bytes: Uint8Array, at: number, out: Float32Array, to: number): void;
}

export function storedBlocks({
  name,
  number,
  values,
  codeBits,
  parts,
  keptAs,
  halves,
  unpack,
}: StoredBlocks): WeightFormat {
  const blockBytes = (values * codeBits) / 8 + parts.reduce((sum, { numBytes }) => sum + numBytes, 0);
  return {
    name,
    block: { values, codeBits, parts },
    keptAs,
    wasmSource: FIRST_BLOCKS_CODE + number,
    dequantize(stored, rows, cols, out) {
      for (let to = 0, at = 0; to < rows * cols; to += values, at += blockBytes) unpack(stored, at, out, to);
    },
    firstNonFinite(stored, rows, cols) {
      let first = -1;
      const numBytes = ((rows * cols) / values) * blockBytes;
      for (const offset of halves) {
        // NaN and infinity have all exponent bits set, which are in the upper byte.
        for (let at = 0; at < numBytes; at += blockBytes) {
          if ((stored[at + offset + 1]! & 0x7c) !== 0x7c) continue;
          const value = (at / blockBytes) * values;
          if (first < 0 || value < first) first = value;
          break;
        }
      }
      return first;
    },
  };
}
