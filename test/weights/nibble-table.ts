/**
 * @file A made-up weight format that only checkpoints store, in the manner of fp4 files: a block of 32 is {u8 exponent,
 * nibbles[16]}, and a weight is LEVELS[nibble] · 2^(exponent − 127). Its levels are whole numbers, so that q8 holds it exactly.
 */
import { GROUP } from "../../src/weights/groups.ts";
import type { WeightFormat } from "../../src/weights/weight-format.ts";

const LEVELS = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];
const BLOCK = 17;
/** Bytes of a block of q8. */
const TARGET = 36;

/** Column i of the block at `at`. */
const levelAt = (stored: Uint8Array, at: number, i: number): number => {
  const pair = stored[at + 1 + (i % 16)]!;
  return LEVELS[i < 16 ? pair & 15 : pair >> 4]!;
};

export const nibbleTable: WeightFormat = {
  name: "nibbletable",
  block: { values: GROUP, codeBits: 4, parts: [{ name: "exponent", numBytes: 1 }] },
  keptAs: {
    type: "q8",
    convert(stored, rows, cols) {
      const blocks = rows * Math.ceil(cols / GROUP);
      const bytes = new Uint8Array(blocks * TARGET);
      const view = new DataView(bytes.buffer);
      for (let b = 0; b < blocks; b++) {
        view.setFloat32(b * TARGET, 2 ** (stored[b * BLOCK]! - 127), true);
        for (let i = 0; i < GROUP; i++) view.setInt8(b * TARGET + 4 + i, levelAt(stored, b * BLOCK, i));
      }
      return bytes;
    },
  },
  dequantize(stored, rows, cols, out) {
    const groups = Math.ceil(cols / GROUP);
    for (let r = 0; r < rows; r++) {
      for (let i = 0; i < cols; i++) {
        const at = (r * groups + Math.floor(i / GROUP)) * BLOCK;
        out[r * cols + i] = levelAt(stored, at, i % GROUP) * 2 ** (stored[at]! - 127);
      }
    }
  },
  firstNonFinite: () => -1,
};
