/** @file Turns stored blocks of 32 into blocks of q8 or q4 that have the same codes and the same scale, so that nothing is rounded. */
import { GROUP } from "../../groups.ts";
import type { KeptAs } from "../../weight-format.ts";
import type { Block } from "./stored-blocks.ts";

/**
 * The conversion of blocks of 32 to q8. blocks: how many blocks of 32 one stored block has
 *
 * codesOf: writes the integers of the n-th 32 values, −127 to 127, to `codes` and returns the scale that multiplies them
 */
export function intoQ8(
  blockBytes: number,
  blocks: number,
  codesOf: (block: Block, n: number, codes: Int8Array) => number,
): KeptAs {
  const words = 1 + GROUP / 4;
  return {
    type: "q8",
    convert(stored) {
      const out = new Uint8Array((stored.length / blockBytes) * blocks * words * 4);
      const scales = new Float32Array(out.buffer);
      const bytes = new Int8Array(out.buffer);
      const block = { bytes: stored, at: 0 };
      for (let to = 0; block.at < stored.length; block.at += blockBytes) {
        for (let n = 0; n < blocks; n++, to += words) {
          scales[to] = codesOf(block, n, bytes.subarray(to * 4 + 4, (to + words) * 4));
        }
      }
      return out;
    },
  };
}

/**
 * The conversion of blocks of 32 with four-bit codes to q4, whose nibbles have the same order as ggml's. blocks: how many blocks of 32
 * one stored block has
 *
 * place: writes the nibbles of the n-th 32 values and returns their scale and minimum as f16 bits
 */
export function intoQ4(
  blockBytes: number,
  blocks: number,
  place: (block: Block, n: number, nibbles: Uint8Array) => readonly [scale: number, minimum: number],
): KeptAs {
  const bytes = 4 + GROUP / 2;
  return {
    type: "q4",
    convert(stored) {
      const out = new Uint8Array((stored.length / blockBytes) * blocks * bytes);
      const view = new DataView(out.buffer);
      const block = { bytes: stored, at: 0 };
      for (let to = 0; block.at < stored.length; block.at += blockBytes) {
        for (let n = 0; n < blocks; n++, to += bytes) {
          const [scale, minimum] = place(block, n, out.subarray(to + 4, to + bytes));
          view.setUint16(to, scale, true);
          view.setUint16(to + 2, minimum, true);
        }
      }
      return out;
    },
  };
}
