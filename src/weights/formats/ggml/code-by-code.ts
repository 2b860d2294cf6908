/** @file Stored blocks of 32 as blocks of ours with the same codes and the same scale: nothing is rounded. */
import { GROUP } from "../../groups.ts";
import type { KeptAs } from "../../weight-format.ts";
import { type Block, halfOf } from "./stored-blocks.ts";

/** codesOf: the integers of one block into `codes`, −127 to 127; returns the scale that multiplies them */
export function intoQ8(blockBytes: number, codesOf: (block: Block, codes: Int8Array) => number): KeptAs {
  const words = 1 + GROUP / 4;
  return {
    type: "q8",
    convert(stored) {
      const blocks = stored.length / blockBytes;
      const out = new Uint8Array(blocks * words * 4);
      const scales = new Float32Array(out.buffer);
      const bytes = new Int8Array(out.buffer);
      const block = { bytes: stored, at: 0 };
      for (let b = 0; b < blocks; b++, block.at += blockBytes) {
        const codes = bytes.subarray(b * words * 4 + 4, (b + 1) * words * 4);
        scales[b * words] = codesOf(block, codes);
      }
      return out;
    },
  };
}

/** Of blocks that are an f16 scale and 16 bytes of nibbles as ours. */
export function intoQ4(blockBytes: number): KeptAs {
  const words = 1 + GROUP / 8;
  return {
    type: "q4",
    convert(stored) {
      const blocks = stored.length / blockBytes;
      const out = new Uint8Array(blocks * words * 4);
      const scales = new Float32Array(out.buffer);
      const block = { bytes: stored, at: 0 };
      for (let b = 0; b < blocks; b++, block.at += blockBytes) {
        scales[b * words] = halfOf(block, 0);
        out.set(stored.subarray(block.at + 2, block.at + blockBytes), b * words * 4 + 4);
      }
      return out;
    },
  };
}
