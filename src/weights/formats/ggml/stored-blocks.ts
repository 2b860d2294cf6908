/**
 * @file What the block formats of ggml have in common: they come from checkpoints, no kernel computes with them, and a row is a run
 * of whole blocks with f16 scales. The layouts are those of `ggml-common.h`; the definitions are f32, one rounding an operation.
 */
import { fromFloat16Bits } from "../../../math/float16.ts";
import { type BlockPart, FIRST_BLOCKS_CODE, type KeptAs, type WeightFormat } from "../../weight-format.ts";

/** A cursor on one block: f16 numbers and bytes are read relative to its beginning. */
export interface Block {
  readonly bytes: Uint8Array;
  at: number;
}

export const byteOf = ({ bytes, at }: Block, offset: number): number => bytes[at + offset]!;
export const signedByteOf = (block: Block, offset: number): number => (byteOf(block, offset) << 24) >> 24;
export const halfOf = (block: Block, offset: number): number =>
  fromFloat16Bits(byteOf(block, offset) | (byteOf(block, offset + 1) << 8));

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
  /** Writes the values of one block to out[to .. to + values). */
  unpack(block: Block, out: Float32Array, to: number): void;
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
      const block = { bytes: stored, at: 0 };
      for (let to = 0; to < rows * cols; to += values, block.at += blockBytes) unpack(block, out, to);
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
