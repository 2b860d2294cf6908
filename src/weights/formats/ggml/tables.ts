/** @file ggml's formats whose nibbles index a table: IQ4_NL and IQ4_XS with sixteen uneven levels, MXFP4 with the values of FP4. */
import { intoQ8 } from "./code-by-code.ts";
import { halfAt, storedBlocks } from "./stored-blocks.ts";

/** Levels of IQ4_NL and IQ4_XS (`kvalues_iq4nl` in ggml-common.h). */
const LEVELS = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
/** The values of FP4 (E2M1, OCP Microscaling Formats 1.0) times two, which makes them integers. */
const FP4 = Int8Array.of(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);

/** Nibbles of 16 bytes: byte i holds value i in its low and value i + 16 in its high half. */
function look(
  bytes: Uint8Array,
  at: number,
  table: Int8Array,
  codes: Int8Array | Float32Array,
  to: number,
  scale: number,
): void {
  for (let i = 0; i < 16; i++) {
    const byte = bytes[at + i]!;
    codes[to + i] = scale * table[byte & 15]!;
    codes[to + i + 16] = scale * table[byte >> 4]!;
  }
}

export const iq4_nl = storedBlocks({
  name: "iq4_nl",
  number: 20,
  values: 32,
  codeBits: 4,
  parts: [{ name: "scale", numBytes: 2 }],
  halves: [0],
  keptAs: intoQ8(18, 1, (bytes, at, _, codes, to) => {
    look(bytes, at + 2, LEVELS, codes, to, 1);
    return halfAt(bytes, at);
  }),
  unpack: (bytes, at, out, to) => look(bytes, at + 2, LEVELS, out, to, halfAt(bytes, at)),
});

/** Scale of the g-th 32 values. The product of a number of 11 bits and one of six is exact in f32. */
function scaleOfXs(bytes: Uint8Array, at: number, g: number): number {
  const low = (bytes[at + 4 + (g >> 1)]! >> (4 * (g & 1))) & 15;
  const high = (bytes[at + 2 + (g >> 2)]! >> (2 * (g & 3))) & 3;
  return Math.fround(halfAt(bytes, at) * ((low | (high << 4)) - 32));
}

/** Super-blocks of 256 with a six-bit scale, less 32, for each 32 values. */
export const iq4_xs = storedBlocks({
  name: "iq4_xs",
  number: 23,
  values: 256,
  codeBits: 4,
  parts: [
    { name: "scale", numBytes: 2 },
    { name: "scales", numBytes: 6 },
  ],
  halves: [0],
  keptAs: intoQ8(136, 8, (bytes, at, g, codes, to) => {
    look(bytes, at + 8 + 16 * g, LEVELS, codes, to, 1);
    return scaleOfXs(bytes, at, g);
  }),
  unpack(bytes, at, out, to) {
    for (let g = 0; g < 8; g++) look(bytes, at + 8 + 16 * g, LEVELS, out, to + 32 * g, scaleOfXs(bytes, at, g));
  },
});

/** The scale is a power of two, 2^(e − 127), or NaN where e is 255; half of it here, as the values of FP4 are doubled. */
const scaleOfMxfp4 = (exponent: number): number => (exponent === 255 ? Number.NaN : 2 ** (exponent - 128));

const blocks = storedBlocks({
  name: "mxfp4",
  number: 39,
  values: 32,
  codeBits: 4,
  parts: [{ name: "exponent", numBytes: 1 }],
  halves: [],
  keptAs: intoQ8(17, 1, (bytes, at, _, codes, to) => {
    look(bytes, at + 1, FP4, codes, to, 1);
    return scaleOfMxfp4(bytes[at]!);
  }),
  unpack: (bytes, at, out, to) => look(bytes, at + 1, FP4, out, to, scaleOfMxfp4(bytes[at]!)),
});

export const mxfp4 = {
  ...blocks,
  firstNonFinite(stored: Uint8Array): number {
    for (let at = 0; at < stored.length; at += 17) if (stored[at] === 255) return (at / 17) * 32;
    return -1;
  },
};
