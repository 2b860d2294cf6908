/**
 * @file ggml's formats in super-blocks of 256: Q2_K to Q6_K. A super-block has one or two f16 numbers, and small integers that
 * scale each of its 8 or 16 groups.
 */
import { toFloat16Bits } from "../../../math/float16.ts";
import { intoQ4 } from "./code-by-code.ts";
import { type Block, byteOf, halfOf, signedByteOf, storedBlocks } from "./stored-blocks.ts";

const VALUES = 256;
const keptAs = { type: "q8" };
const part = (name: string, numBytes: number) => ({ name, numBytes });

/** 16 groups of 16: value = d · scale · code − dmin · minimum, both 4 bits a group. */
export const q2_k = storedBlocks({
  name: "q2_k",
  number: 10,
  values: VALUES,
  codeBits: 2,
  parts: [part("scales", 16), part("scale", 2), part("minimum", 2)],
  halves: [80, 82],
  keptAs,
  unpack(block, out, to) {
    const [d, dmin] = [halfOf(block, 80), halfOf(block, 82)];
    for (let i = 0; i < VALUES; i++) {
      // 128 values take 32 bytes: the lowest two bits of all bytes are the first 32 values, the next two bits the next 32, and so on.
      const scales = byteOf(block, i >> 4);
      const code = (byteOf(block, 16 + 32 * (i >> 7) + (i & 31)) >> (2 * ((i >> 5) & 3))) & 3;
      out[to + i] = Math.fround(Math.fround(d * (scales & 15)) * code) - Math.fround(dmin * (scales >> 4));
    }
  },
});

/** Six-bit scale of group g of 16, less 32: four low bits in bytes 0–7, two high bits in bytes 8–11. */
function scaleOfQ3(block: Block, at: number, g: number): number {
  const low = (byteOf(block, at + (g & 7)) >> (4 * (g >> 3))) & 15;
  const high = (byteOf(block, at + 8 + (g & 3)) >> (2 * (g >> 2))) & 3;
  return (low | (high << 4)) - 32;
}

/** 16 groups of 16: value = d · scale · (code − 4); the third bits are a mask of 32 bytes. */
export const q3_k = storedBlocks({
  name: "q3_k",
  number: 11,
  values: VALUES,
  codeBits: 3,
  parts: [part("scales", 12), part("scale", 2)],
  halves: [108],
  keptAs,
  unpack(block, out, to) {
    const d = halfOf(block, 108);
    for (let i = 0; i < VALUES; i++) {
      const low = (byteOf(block, 32 + 32 * (i >> 7) + (i & 31)) >> (2 * ((i >> 5) & 3))) & 3;
      const high = (byteOf(block, i & 31) >> (i >> 5)) & 1;
      out[to + i] = Math.fround(d * scaleOfQ3(block, 96, i >> 4)) * ((low | (high << 2)) - 4);
    }
  },
});

/** Six-bit scale and minimum of group g of 8, packed into 12 bytes. */
function scaleOfQ4(block: Block, at: number, g: number): readonly [scale: number, minimum: number] {
  const byte = (i: number): number => byteOf(block, at + i);
  if (g < 4) return [byte(g) & 63, byte(g + 4) & 63];
  return [(byte(g + 4) & 15) | ((byte(g - 4) >> 6) << 4), (byte(g + 4) >> 4) | ((byte(g) >> 6) << 4)];
}

/** d · scale and −dmin · minimum of each group, both rounded to f16, a relative error of up to 2^-11. */
const q4OfQ4K = intoQ4(144, 8, (block, g, nibbles) => {
  const [scale, minimum] = scaleOfQ4(block, 4, g);
  for (let i = 0; i < 16; i++) {
    const shift = 4 * (g & 1);
    const low = (byteOf(block, 16 + 32 * (g >> 1) + i) >> shift) & 15;
    const high = (byteOf(block, 32 + 32 * (g >> 1) + i) >> shift) & 15;
    nibbles[i] = low | (high << 4);
  }
  return [toFloat16Bits(halfOf(block, 0) * scale), toFloat16Bits(-halfOf(block, 2) * minimum)];
});

/** 8 groups of 32: value = d · scale · code − dmin · minimum. Two groups share 32 bytes: the first has the low halves, the second the high ones. */
export const q4_k = storedBlocks({
  name: "q4_k",
  number: 12,
  values: VALUES,
  codeBits: 4,
  parts: [part("scale", 2), part("minimum", 2), part("scales", 12)],
  halves: [0, 2],
  keptAs: q4OfQ4K,
  unpack(block, out, to) {
    const [d, dmin] = [halfOf(block, 0), halfOf(block, 2)];
    for (let g = 0; g < 8; g++) {
      const [scale, minimum] = scaleOfQ4(block, 4, g);
      const [a, b] = [Math.fround(d * scale), Math.fround(dmin * minimum)];
      for (let i = 0; i < 32; i++) {
        const code = (byteOf(block, 16 + 32 * (g >> 1) + i) >> (4 * (g & 1))) & 15;
        out[to + 32 * g + i] = Math.fround(a * code) - b;
      }
    }
  },
});

/** As Q4_K with a fifth bit: bit g of byte i belongs to value i of group g. */
export const q5_k = storedBlocks({
  name: "q5_k",
  number: 13,
  values: VALUES,
  codeBits: 5,
  parts: [part("scale", 2), part("minimum", 2), part("scales", 12)],
  halves: [0, 2],
  keptAs,
  unpack(block, out, to) {
    const [d, dmin] = [halfOf(block, 0), halfOf(block, 2)];
    for (let g = 0; g < 8; g++) {
      const [scale, minimum] = scaleOfQ4(block, 4, g);
      const [a, b] = [Math.fround(d * scale), Math.fround(dmin * minimum)];
      for (let i = 0; i < 32; i++) {
        const low = (byteOf(block, 48 + 32 * (g >> 1) + i) >> (4 * (g & 1))) & 15;
        const high = (byteOf(block, 16 + i) >> g) & 1;
        out[to + 32 * g + i] = Math.fround(a * (low | (high << 4))) - b;
      }
    }
  },
});

/** 16 groups of 16 with an int8 scale each: value = d · scale · (code − 32). */
export const q6_k = storedBlocks({
  name: "q6_k",
  number: 14,
  values: VALUES,
  codeBits: 6,
  parts: [part("scales", 16), part("scale", 2)],
  halves: [208],
  keptAs,
  unpack(block, out, to) {
    const d = halfOf(block, 208);
    for (let i = 0; i < VALUES; i++) {
      const [half, quarter, n] = [i >> 7, (i >> 5) & 3, i & 31];
      const low = (byteOf(block, 64 * half + 32 * (quarter & 1) + n) >> (4 * (quarter >> 1))) & 15;
      const high = (byteOf(block, 128 + 32 * half + n) >> (2 * quarter)) & 3;
      out[to + i] = Math.fround(d * signedByteOf(block, 192 + (i >> 4))) * ((low | (high << 4)) - 32);
    }
  },
});
