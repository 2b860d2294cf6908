/**
 * @file q4: int4 in groups of 32 along a row, quantized as llama.cpp's q4_0: the value of largest magnitude becomes −8,
 * whatever its sign, so that all sixteen levels are used.
 *
 * A block is {f32 scale, nibbles[16]}, 20 bytes. A nibble is code + 8; byte b holds column b in its low half and column b + 16
 * in its high half. With m the first value of largest magnitude: scale = m / −8, code = min(15, floor(w · (−8 / m) + 8.5)) − 8.
 */
import { elements } from "../elements.ts";
import { GROUP, groupFormat, peakOfGroups } from "../groups.ts";
import type { WeightFormat } from "../weight-format.ts";

const HALF = GROUP / 2;
/** u32 words in a block: the scale and 32 nibbles. */
const WORDS = 1 + GROUP / 8;

/** Moves the nibbles at bits 0, 8, 16 and 24 of a word to bits 0, 4, 8 and 12, so that neighbours along a row share a half-word. */
function gather(word: number): number {
  const pairs = (word | (word >>> 4)) & 0x00ff00ff;
  return (pairs | (pairs >>> 8)) & 0xffff;
}

/** Nibble of a value; every operation is rounded to f32. */
const level = (value: number, inverse: number): number =>
  Math.min(15, Math.floor(Math.fround(Math.fround(value * inverse) + 8.5)));

export const q4: WeightFormat = {
  ...groupFormat({
    name: "q4",
    codeBits: 4,
    fillBlocks(values, rows, cols, scales, bytes) {
      let block = 0;
      for (let r = 0; r < rows; r++) {
        const rowEnd = (r + 1) * cols;
        for (let start = r * cols; start < rowEnd; start += GROUP, block += WORDS) {
          const count = Math.min(GROUP, rowEnd - start);
          let extreme = 0;
          for (let i = 0; i < count; i++) {
            const value = values[start + i]!;
            if (Math.abs(value) > Math.abs(extreme)) extreme = value;
          }
          const inverse = extreme === 0 ? 0 : Math.fround(-8 / extreme);
          scales[block] = extreme === 0 ? 0 : extreme / -8;
          const at = block * 4 + 4;
          for (let b = 0; b < HALF; b++) {
            // A missing column gets nibble 8, which is a weight of 0.
            const low = b < count ? values[start + b]! : 0;
            const high = b + HALF < count ? values[start + b + HALF]! : 0;
            bytes[at + b] = level(low, inverse) | (level(high, inverse) << 4);
          }
        }
      }
    },
    unpack(block, at, codes) {
      for (let b = 0; b < HALF; b++) {
        const byte = block[at + b]!;
        codes[b] = (byte & 15) - 8;
        codes[b + HALF] = (byte >> 4) - 8;
      }
    },
  }),
  // Embedding and head stay at q8: every token reads a row of the one, and every logit is a product with the other.
  embedding: "q8",
  wasm: {
    code: 5,
    record: { cols: GROUP, rowBytes: 20 },
    kernels: { convert: "convertToQ4", prepare: "prepareQ8", linear: "linearQ4" },
    activationBytes: 2,
    isSource: false,
    unpacks: false,
  },
  wgsl: {
    word: "u32",
    unitBytes: 4,
    unitScaleBytes: 1,
    groupUnits: 4,
    isHalf: false,
    read: `
  let w = bitcast<i32>(words[row_at + unit]);
  let scale = scales[(row_at + unit) >> 2u];
  return array<vec4f, 2>(
    vec4f((vec4i(w) << vec4u(28u, 24u, 20u, 16u)) >> vec4u(28u)) * scale,
    vec4f((vec4i(w) << vec4u(12u, 8u, 4u, 0u)) >> vec4u(28u)) * scale,
  );`,
    peak: ({ scales }) => peakOfGroups(scales!, 8),
    /** A unit of eight columns is one word: codes in order from the lowest nibble on, as two's complement. */
    split(stored) {
      const blocks = elements(stored, Uint32Array);
      const numBlocks = blocks.length / WORDS;
      const scales = new Uint32Array(numBlocks);
      const words = new Uint32Array(numBlocks * (WORDS - 1));
      for (let b = 0; b < numBlocks; b++) {
        const from = b * WORDS;
        scales[b] = blocks[from]!;
        for (let half = 0; half < 2; half++) {
          const [first, second] = [blocks[from + 1 + 2 * half]!, blocks[from + 2 + 2 * half]!];
          const low = gather(first & 0x0f0f0f0f) | (gather(second & 0x0f0f0f0f) << 16);
          const high = gather((first >>> 4) & 0x0f0f0f0f) | (gather((second >>> 4) & 0x0f0f0f0f) << 16);
          // Flipping the highest bit of a nibble subtracts 8 in two's complement.
          words[b * 4 + half] = low ^ 0x88888888;
          words[b * 4 + 2 + half] = high ^ 0x88888888;
        }
      }
      return { words: new Uint8Array(words.buffer), scales: new Float32Array(scales.buffer) };
    },
  },
};
