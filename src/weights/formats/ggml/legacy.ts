/** @file ggml's formats in blocks of 32 with one f16 scale, and a minimum in two of them: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1. */

import { toFloat16Bits } from "../../../math/float16.ts";
import { intoQ4, intoQ8 } from "./code-by-code.ts";
import { byteOf, halfOf, signedByteOf, storedBlocks } from "./stored-blocks.ts";

const SCALE = { name: "scale", numBytes: 2 };
const MINIMUM = { name: "minimum", numBytes: 2 };

export const q8_0 = storedBlocks({
  name: "q8_0",
  number: 8,
  values: 32,
  codeBits: 8,
  parts: [SCALE],
  halves: [0],
  keptAs: intoQ8(34, 1, (block, _, codes) => {
    for (let i = 0; i < 32; i++) codes[i] = signedByteOf(block, 2 + i);
    return halfOf(block, 0);
  }),
  unpack(block, out, to) {
    const scale = halfOf(block, 0);
    for (let i = 0; i < 32; i++) out[to + i] = scale * signedByteOf(block, 2 + i);
  },
});

/** Byte i holds value i in its low half and value i + 16 in its high half, in ggml's blocks and in q4. */
export const q4_0 = storedBlocks({
  name: "q4_0",
  number: 2,
  values: 32,
  codeBits: 4,
  parts: [SCALE],
  halves: [0],
  // scale · (code − 8) = scale · code + (−8 · scale): a power of two, so that f16 holds the minimum as well.
  keptAs: intoQ4(18, 1, (block, _, nibbles) => {
    nibbles.set(block.bytes.subarray(block.at + 2, block.at + 18));
    return [byteOf(block, 0) | (byteOf(block, 1) << 8), toFloat16Bits(-8 * halfOf(block, 0))];
  }),
  unpack(block, out, to) {
    const scale = halfOf(block, 0);
    for (let i = 0; i < 16; i++) {
      const byte = byteOf(block, 2 + i);
      out[to + i] = scale * ((byte & 15) - 8);
      out[to + i + 16] = scale * ((byte >> 4) - 8);
    }
  },
});

export const q4_1 = storedBlocks({
  name: "q4_1",
  number: 3,
  values: 32,
  codeBits: 4,
  parts: [SCALE, MINIMUM],
  halves: [0, 2],
  // These are the blocks of q4.
  keptAs: { type: "q4", convert: (stored) => stored as Uint8Array<ArrayBuffer> },
  unpack(block, out, to) {
    const [scale, minimum] = [halfOf(block, 0), halfOf(block, 2)];
    for (let i = 0; i < 16; i++) {
      const byte = byteOf(block, 4 + i);
      out[to + i] = Math.fround(scale * (byte & 15)) + minimum;
      out[to + i + 16] = Math.fround(scale * (byte >> 4)) + minimum;
    }
  },
});

/** The fifth bits of the 32 values are a word of their own: bit i belongs to value i. */
const fifthBits = (block: Parameters<typeof byteOf>[0], at: number): number =>
  byteOf(block, at) | (byteOf(block, at + 1) << 8) | (byteOf(block, at + 2) << 16) | (byteOf(block, at + 3) << 24);

export const q5_0 = storedBlocks({
  name: "q5_0",
  number: 6,
  values: 32,
  codeBits: 5,
  parts: [SCALE],
  halves: [0],
  keptAs: intoQ8(22, 1, (block, _, codes) => {
    const high = fifthBits(block, 2);
    for (let i = 0; i < 16; i++) {
      const byte = byteOf(block, 6 + i);
      codes[i] = ((byte & 15) | (((high >>> i) & 1) << 4)) - 16;
      codes[i + 16] = ((byte >> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16;
    }
    return halfOf(block, 0);
  }),
  unpack(block, out, to) {
    const scale = halfOf(block, 0);
    const high = fifthBits(block, 2);
    for (let i = 0; i < 16; i++) {
      const byte = byteOf(block, 6 + i);
      out[to + i] = scale * (((byte & 15) | (((high >>> i) & 1) << 4)) - 16);
      out[to + i + 16] = scale * (((byte >> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16);
    }
  },
});

export const q5_1 = storedBlocks({
  name: "q5_1",
  number: 7,
  values: 32,
  codeBits: 5,
  parts: [SCALE, MINIMUM],
  halves: [0, 2],
  keptAs: { type: "q8" },
  unpack(block, out, to) {
    const [scale, minimum] = [halfOf(block, 0), halfOf(block, 2)];
    const high = fifthBits(block, 4);
    for (let i = 0; i < 16; i++) {
      const byte = byteOf(block, 8 + i);
      out[to + i] = Math.fround(scale * ((byte & 15) | (((high >>> i) & 1) << 4))) + minimum;
      out[to + i + 16] = Math.fround(scale * ((byte >> 4) | (((high >>> (i + 16)) & 1) << 4))) + minimum;
    }
  },
});
