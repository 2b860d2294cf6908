/** @file ggml's formats in blocks of 32 with one f16 scale, and a minimum in two of them: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1. */

import { toFloat16Bits } from "../../../math/float16.ts";
import { intoQ4, intoQ8, putHalves } from "./code-by-code.ts";
import { halfAt, storedBlocks } from "./stored-blocks.ts";

const SCALE = { name: "scale", numBytes: 2 };
const MINIMUM = { name: "minimum", numBytes: 2 };

export const q8_0 = storedBlocks({
  name: "q8_0",
  number: 8,
  values: 32,
  codeBits: 8,
  parts: [SCALE],
  halves: [0],
  keptAs: intoQ8(34, 1, (bytes, at, _, codes, to) => {
    for (let i = 0; i < 32; i++) codes[to + i] = bytes[at + 2 + i]!;
    return halfAt(bytes, at);
  }),
  unpack(bytes, at, out, to) {
    const scale = halfAt(bytes, at);
    for (let i = 0; i < 32; i++) out[to + i] = scale * ((bytes[at + 2 + i]! << 24) >> 24);
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
  keptAs: intoQ4(18, 1, (bytes, at, _, out, to) => {
    putHalves(out, to, bytes[at]! | (bytes[at + 1]! << 8), toFloat16Bits(-8 * halfAt(bytes, at)));
    for (let i = 0; i < 16; i++) out[to + 4 + i] = bytes[at + 2 + i]!;
  }),
  unpack(bytes, at, out, to) {
    const scale = halfAt(bytes, at);
    for (let i = 0; i < 16; i++) {
      const byte = bytes[at + 2 + i]!;
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
  unpack(bytes, at, out, to) {
    const [scale, minimum] = [halfAt(bytes, at), halfAt(bytes, at + 2)];
    for (let i = 0; i < 16; i++) {
      const byte = bytes[at + 4 + i]!;
      out[to + i] = Math.fround(scale * (byte & 15)) + minimum;
      out[to + i + 16] = Math.fround(scale * (byte >> 4)) + minimum;
    }
  },
});

/** The fifth bits of the 32 values are a word of their own: bit i belongs to value i. */
const fifthBits = (bytes: Uint8Array, at: number): number =>
  bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);

export const q5_0 = storedBlocks({
  name: "q5_0",
  number: 6,
  values: 32,
  codeBits: 5,
  parts: [SCALE],
  halves: [0],
  keptAs: intoQ8(22, 1, (bytes, at, _, codes, to) => {
    const high = fifthBits(bytes, at + 2);
    for (let i = 0; i < 16; i++) {
      const byte = bytes[at + 6 + i]!;
      codes[to + i] = ((byte & 15) | (((high >>> i) & 1) << 4)) - 16;
      codes[to + i + 16] = ((byte >> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16;
    }
    return halfAt(bytes, at);
  }),
  unpack(bytes, at, out, to) {
    const scale = halfAt(bytes, at);
    const high = fifthBits(bytes, at + 2);
    for (let i = 0; i < 16; i++) {
      const byte = bytes[at + 6 + i]!;
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
  unpack(bytes, at, out, to) {
    const [scale, minimum] = [halfAt(bytes, at), halfAt(bytes, at + 2)];
    const high = fifthBits(bytes, at + 4);
    for (let i = 0; i < 16; i++) {
      const byte = bytes[at + 8 + i]!;
      out[to + i] = Math.fround(scale * ((byte & 15) | (((high >>> i) & 1) << 4))) + minimum;
      out[to + i + 16] = Math.fround(scale * ((byte >> 4) | (((high >>> (i + 16)) & 1) << 4))) + minimum;
    }
  },
});
