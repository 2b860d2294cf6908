/**
 * @file ggml's formats in super-blocks of 256: Q2_K to Q6_K. A super-block has one or two f16 numbers, and small integers that
 * scale each of its 8 or 16 groups.
 */
import { toFloat16Bits } from "../../../math/float16.ts";
import { intoQ4, putHalves } from "./code-by-code.ts";
import { halfAt, storedBlocks } from "./stored-blocks.ts";

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
  unpack(bytes, at, out, to) {
    const [d, dmin] = [halfAt(bytes, at + 80), halfAt(bytes, at + 82)];
    for (let g = 0; g < 16; g++) {
      const scales = bytes[at + g]!;
      const [scale, minimum] = [Math.fround(d * (scales & 15)), Math.fround(dmin * (scales >> 4))];
      // 128 values take 32 bytes: the lowest two bits of all bytes are the first 32 values, the next two bits the next 32, and so on.
      const [from, shift] = [at + 16 + 32 * (g >> 3) + 16 * (g & 1), 2 * ((g >> 1) & 3)];
      for (let i = 0; i < 16; i++) {
        out[to + 16 * g + i] = Math.fround(scale * ((bytes[from + i]! >> shift) & 3)) - minimum;
      }
    }
  },
});

/** Six-bit scale of group g of 16, less 32: four low bits in bytes 0–7, two high bits in bytes 8–11. */
function scaleOfQ3(bytes: Uint8Array, at: number, g: number): number {
  const low = (bytes[at + (g & 7)]! >> (4 * (g >> 3))) & 15;
  const high = (bytes[at + 8 + (g & 3)]! >> (2 * (g >> 2))) & 3;
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
  unpack(bytes, at, out, to) {
    const d = halfAt(bytes, at + 108);
    for (let g = 0; g < 16; g++) {
      const scale = Math.fround(d * scaleOfQ3(bytes, at + 96, g));
      const [from, shift] = [at + 32 + 32 * (g >> 3) + 16 * (g & 1), 2 * ((g >> 1) & 3)];
      const [mask, bit] = [at + 16 * (g & 1), g >> 1];
      for (let i = 0; i < 16; i++) {
        const low = (bytes[from + i]! >> shift) & 3;
        const high = (bytes[mask + i]! >> bit) & 1;
        out[to + 16 * g + i] = scale * ((low | (high << 2)) - 4);
      }
    }
  },
});

/** Six-bit scale of group g of 8, which lie with the minima in 12 bytes. */
function scaleOfQ4(bytes: Uint8Array, at: number, g: number): number {
  if (g < 4) return bytes[at + g]! & 63;
  return (bytes[at + g + 4]! & 15) | ((bytes[at + g - 4]! >> 6) << 4);
}

/** Six-bit minimum of group g of 8. */
function minimumOfQ4(bytes: Uint8Array, at: number, g: number): number {
  if (g < 4) return bytes[at + g + 4]! & 63;
  return (bytes[at + g + 4]! >> 4) | ((bytes[at + g]! >> 6) << 4);
}

/** d · scale and −dmin · minimum of each group, both rounded to f16, a relative error of up to 2^-11. */
const q4OfQ4K = intoQ4(144, 8, (bytes, at, g, out, to) => {
  const scale = toFloat16Bits(halfAt(bytes, at) * scaleOfQ4(bytes, at + 4, g));
  const minimum = toFloat16Bits(-halfAt(bytes, at + 2) * minimumOfQ4(bytes, at + 4, g));
  putHalves(out, to, scale, minimum);
  const from = at + 16 + 32 * (g >> 1);
  if ((g & 1) === 0) {
    for (let i = 0; i < 16; i++) out[to + 4 + i] = (bytes[from + i]! & 15) | (bytes[from + 16 + i]! << 4);
  } else {
    for (let i = 0; i < 16; i++) out[to + 4 + i] = (bytes[from + i]! >> 4) | (bytes[from + 16 + i]! & 0xf0);
  }
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
  unpack(bytes, at, out, to) {
    const [d, dmin] = [halfAt(bytes, at), halfAt(bytes, at + 2)];
    for (let g = 0; g < 8; g++) {
      const scale = Math.fround(d * scaleOfQ4(bytes, at + 4, g));
      const minimum = Math.fround(dmin * minimumOfQ4(bytes, at + 4, g));
      const [from, shift] = [at + 16 + 32 * (g >> 1), 4 * (g & 1)];
      for (let i = 0; i < 32; i++) {
        out[to + 32 * g + i] = Math.fround(scale * ((bytes[from + i]! >> shift) & 15)) - minimum;
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
  unpack(bytes, at, out, to) {
    const [d, dmin] = [halfAt(bytes, at), halfAt(bytes, at + 2)];
    for (let g = 0; g < 8; g++) {
      const scale = Math.fround(d * scaleOfQ4(bytes, at + 4, g));
      const minimum = Math.fround(dmin * minimumOfQ4(bytes, at + 4, g));
      const [from, shift] = [at + 48 + 32 * (g >> 1), 4 * (g & 1)];
      for (let i = 0; i < 32; i++) {
        const high = (bytes[at + 16 + i]! >> g) & 1;
        out[to + 32 * g + i] = Math.fround(scale * (((bytes[from + i]! >> shift) & 15) | (high << 4))) - minimum;
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
  unpack(bytes, at, out, to) {
    const d = halfAt(bytes, at + 208);
    for (let g = 0; g < 16; g++) {
      const scale = Math.fround(d * ((bytes[at + 192 + g]! << 24) >> 24));
      const [half, quarter, n] = [g >> 3, (g >> 1) & 3, 16 * (g & 1)];
      const [from, shift] = [at + 64 * half + 32 * (quarter & 1) + n, 4 * (quarter >> 1)];
      const high = at + 128 + 32 * half + n;
      for (let i = 0; i < 16; i++) {
        const code = ((bytes[from + i]! >> shift) & 15) | (((bytes[high + i]! >> (2 * quarter)) & 3) << 4);
        out[to + 16 * g + i] = scale * (code - 32);
      }
    }
  },
});
