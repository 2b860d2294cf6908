/**
 * @file q8: int8 in groups of 32 along a row, symmetric about 0; −128 is not used.
 *
 * A block is {f32 scale, int8 codes[32]}, 36 bytes. scale = max|w| / 127, code = round-to-even(w · (127 / max|w|)). A group
 * of zeros has scale 0.
 */
import { elements } from "../elements.ts";
import { GROUP, groupFormat, peakOfGroups } from "../groups.ts";
import type { WeightFormat } from "../weight-format.ts";

/** u32 words in a block: the scale and 32 codes. */
const WORDS = 1 + GROUP / 4;

export const q8: WeightFormat = {
  ...groupFormat({
    name: "q8",
    codeBits: 8,
    fillBlocks(values, rows, cols, scales, bytes) {
      let block = 0;
      for (let r = 0; r < rows; r++) {
        const rowEnd = (r + 1) * cols;
        for (let start = r * cols; start < rowEnd; start += GROUP, block += WORDS) {
          const end = Math.min(start + GROUP, rowEnd);
          let peak = 0;
          for (let i = start; i < end; i++) peak = Math.max(peak, Math.abs(values[i]!));
          const inverse = peak === 0 ? 0 : Math.fround(127 / peak);
          scales[block] = peak / 127;
          for (let i = start, at = block * 4 + 4; i < end; i++, at++) {
            // Adding and subtracting 1.5 · 2^23 in f32 rounds to the nearest even integer.
            const scaled = Math.fround(values[i]! * inverse);
            bytes[at] = Math.fround(scaled + 12582912) - 12582912;
          }
        }
      }
    },
    unpack(block, at, codes) {
      for (let i = 0; i < GROUP; i++) codes[i] = block[at + i]!;
    },
  }),
  wasm: {
    code: 3,
    record: { cols: GROUP, rowBytes: 36 },
    kernels: { convert: "convertToQ8", prepare: "prepareQ8", linear: "linearQ8" },
    activationBytes: 2,
    isSource: false,
    unpacks: false,
  },
  wgsl: {
    word: "vec2u",
    unitBytes: 8,
    unitScaleBytes: 1,
    groupUnits: 4,
    isHalf: false,
    read: `
  let w = bitcast<vec2i>(words[row_at + unit]);
  let scale = scales[(row_at + unit) >> 2u];
  return array<vec4f, 2>(
    vec4f((vec4i(w.x) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u)) * scale,
    vec4f((vec4i(w.y) << vec4u(24u, 16u, 8u, 0u)) >> vec4u(24u)) * scale,
  );`,
    peak: ({ scales }) => peakOfGroups(scales as Float32Array, 127),
    split(stored) {
      const blocks = elements(stored, Uint32Array);
      const numBlocks = blocks.length / WORDS;
      const scales = new Uint32Array(numBlocks);
      const words = new Uint32Array(numBlocks * (WORDS - 1));
      for (let b = 0, from = 0, to = 0; b < numBlocks; b++) {
        scales[b] = blocks[from++]!;
        for (let i = 1; i < WORDS; i++) words[to++] = blocks[from++]!;
      }
      return { words: new Uint8Array(words.buffer), scales: new Float32Array(scales.buffer) };
    },
  },
};
