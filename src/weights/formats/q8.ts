/**
 * @file q8: int8 in groups of 32 along a row, symmetric about 0; −128 is not used.
 *
 * A block is {f32 scale, int8 codes[32]}, 36 bytes. scale = max|w| / 127, code = round-to-even(w · (127 / max|w|)). A group
 * of zeros has scale 0.
 */
import { elements } from "../elements.ts";
import { GROUP } from "../groups.ts";
import { rowBytes, type WeightFormat } from "../weight-format.ts";

/** u32 words in a block: the scale and 32 codes. */
const WORDS = 1 + GROUP / 4;

export const q8: WeightFormat = {
  name: "q8",
  block: { values: GROUP, codeBits: 8, parts: [{ name: "scale", numBytes: 4 }] },
  dequantize(stored, rows, cols, out) {
    const scales = elements(stored, Float32Array);
    const codes = new Int8Array(scales.buffer, scales.byteOffset, scales.byteLength);
    let block = 0;
    for (let r = 0; r < rows; r++) {
      for (let start = 0; start < cols; start += GROUP, block += WORDS) {
        const scale = scales[block]!;
        const count = Math.min(GROUP, cols - start);
        for (let i = 0, at = r * cols + start; i < count; i++) out[at + i] = codes[block * 4 + 4 + i]! * scale;
      }
    }
  },
  quantize(values, rows, cols) {
    const stored = new Uint8Array(rows * rowBytes(q8, cols));
    const scales = new Float32Array(stored.buffer);
    const bytes = new Int8Array(stored.buffer);
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
    return stored;
  },
  firstNonFinite(stored, rows, cols) {
    const scales = elements(stored, Float32Array);
    const groups = Math.ceil(cols / GROUP);
    for (let group = 0; group < rows * groups; group++) {
      if (Number.isFinite(scales[group * WORDS]!)) continue;
      return Math.floor(group / groups) * cols + (group % groups) * GROUP;
    }
    return -1;
  },
  wasm: {
    code: 3,
    record: { cols: GROUP, rowBytes: 36 },
    kernels: { convert: "convertToQ8", prepare: "prepareQ8", linear: "linearQ8" },
    activationBytes: 2,
    isSource: false,
    unpackedBytes: 2,
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
    peak: ({ scales }) => 127 * (scales as Float32Array).reduce((peak, scale) => Math.max(peak, Math.abs(scale)), 0),
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
