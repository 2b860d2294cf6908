/**
 * @file q4: affine int4 in groups of 32 along a row, value = scale · code + minimum.
 *
 * A block is {f16 scale, f16 minimum, nibbles[16]}, 20 bytes, as llama.cpp's q4_1 lies in files: byte b holds column b in its
 * low and column b + 16 in its high half. Of floats, four ranges are tried for a group: from its least to its largest value,
 * and with either end, or both, moved a tenth towards zero. For each, codes are rounded to the nearest level, scale and minimum
 * are fitted to them by least squares and rounded to f16, and codes are rounded again; the range with the least squared error
 * is taken, the first of equals. All arithmetic is f32, one rounding an operation; sums are of four lanes (columns i mod 4),
 * added as (l0 + l2) + (l1 + l3), so that kernels give the same bytes.
 */
import { fromFloat16Bits, toFloat16Bits } from "../../math/float16.ts";
import { elements } from "../elements.ts";
import { GROUP } from "../groups.ts";
import { rowBytes, type WeightFormat } from "../weight-format.ts";

const HALF = GROUP / 2;
const BLOCK_BYTES = 4 + HALF;
/** Words of a block: scale and minimum, and 32 nibbles. */
const WORDS = BLOCK_BYTES / 4;
const MAX_HALF = 65504;
const { fround } = Math;

/** What the ends of a group's range are multiplied by. */
const RANGES = [
  [1, 1],
  [1, fround(0.9)],
  [fround(0.9), 1],
  [fround(0.9), fround(0.9)],
] as const;

/** Four nibbles of a word at bits 0, 8, 16 and 24, moved to bits 0, 4, 8 and 12: neighbours along a row in one half-word. */
function gather(word: number): number {
  const pairs = (word | (word >>> 4)) & 0x00ff00ff;
  return (pairs | (pairs >>> 8)) & 0xffff;
}

/** Sums over a group by lanes. */
class LaneSum {
  readonly #lanes = new Float32Array(4);

  clear(): void {
    this.#lanes.fill(0);
  }

  add(i: number, value: number): void {
    this.#lanes[i & 3] = this.#lanes[i & 3]! + value;
  }

  get total(): number {
    const [a, b, c, d] = this.#lanes as unknown as [number, number, number, number];
    return fround(fround(a + c) + fround(b + d));
  }
}

/** Scale and minimum as f16 bits, and codes, of one group after another. */
class GroupFit {
  /** [32], the values of the group. */
  readonly values = new Float32Array(GROUP);
  readonly codes = new Uint8Array(GROUP);
  scale = 0;
  minimum = 0;
  /** Of the range that is tried. */
  #scale = 0;
  #minimum = 0;
  readonly #tried = new Uint8Array(GROUP);
  readonly #products = new LaneSum();
  readonly #errors = new LaneSum();

  run(): void {
    const { values } = this;
    let [low, high] = [values[0]!, values[0]!];
    this.#products.clear();
    for (let i = 0; i < GROUP; i++) {
      low = Math.min(low, values[i]!);
      high = Math.max(high, values[i]!);
      this.#products.add(i, values[i]!);
    }
    const sum = this.#products.total;
    let best = Number.POSITIVE_INFINITY;
    for (const [a, b] of RANGES) {
      const [from, to] = [fround(low * a), fround(high * b)];
      const error = this.#try(from, fround(fround(to - from) / 15), sum);
      if (error < best) best = error;
      else continue;
      this.codes.set(this.#tried);
      this.scale = this.#scale;
      this.minimum = this.#minimum;
    }
  }

  /** returns: the squared error */
  #try(from: number, step: number, sum: number): number {
    this.#round(from, step);
    let [count, squares] = [0, 0];
    this.#products.clear();
    for (let i = 0; i < GROUP; i++) {
      const code = this.#tried[i]!;
      count += code;
      squares += code * code;
      this.#products.add(i, fround(this.values[i]! * code));
    }
    const spread = GROUP * squares - count * count;
    let [scale, minimum] = [step, from];
    if (spread > 0) {
      const products = fround(GROUP * this.#products.total);
      scale = fround(fround(products - fround(count * sum)) / spread);
      minimum = fround(fround(sum - fround(scale * count)) / GROUP);
    }
    this.#scale = toFloat16Bits(clamp(scale));
    this.#minimum = toFloat16Bits(clamp(minimum));
    const [kept, base] = [fromFloat16Bits(this.#scale), fromFloat16Bits(this.#minimum)];
    this.#round(base, kept);
    this.#errors.clear();
    for (let i = 0; i < GROUP; i++) {
      const off = fround(this.values[i]! - fround(fround(kept * this.#tried[i]!) + base));
      this.#errors.add(i, fround(off * off));
    }
    return this.#errors.total;
  }

  /** Codes of the nearest levels. */
  #round(from: number, step: number): void {
    const inverse = step === 0 ? 0 : fround(1 / step);
    for (let i = 0; i < GROUP; i++) {
      const level = Math.floor(fround(fround(fround(this.values[i]! - from) * inverse) + 0.5));
      this.#tried[i] = Math.max(0, Math.min(15, level));
    }
  }
}

const clamp = (value: number): number => Math.max(-MAX_HALF, Math.min(MAX_HALF, value));

const block = {
  values: GROUP,
  codeBits: 4,
  parts: [
    { name: "scale", numBytes: 2 },
    { name: "minimum", numBytes: 2 },
  ],
};

export const q4: WeightFormat = {
  name: "q4",
  block,
  // Every logit is a product with the head, and every token a row of the embedding.
  embedding: "q8",
  dequantize(stored, rows, cols, out) {
    const halves = elements(stored, Uint16Array);
    const bytes = new Uint8Array(halves.buffer, halves.byteOffset, halves.byteLength);
    for (let r = 0, at = 0; r < rows; r++) {
      for (let start = 0; start < cols; start += GROUP, at += BLOCK_BYTES) {
        const scale = fromFloat16Bits(halves[at / 2]!);
        const minimum = fromFloat16Bits(halves[at / 2 + 1]!);
        const count = Math.min(GROUP, cols - start);
        for (let i = 0, to = r * cols + start; i < count; i++, to++) {
          const byte = bytes[at + 4 + (i & 15)]!;
          out[to] = fround(scale * (i < HALF ? byte & 15 : byte >> 4)) + minimum;
        }
      }
    }
  },
  quantize(values, rows, cols) {
    const stored = new Uint8Array(rows * rowBytes(q4, cols));
    const halves = new Uint16Array(stored.buffer);
    const fit = new GroupFit();
    for (let r = 0, at = 0; r < rows; r++) {
      for (let start = r * cols; start < (r + 1) * cols; start += GROUP, at += BLOCK_BYTES) {
        const count = Math.min(GROUP, (r + 1) * cols - start);
        // Columns that the row does not have repeat its last one, so that they widen no range.
        for (let i = 0; i < GROUP; i++) fit.values[i] = values[start + Math.min(i, count - 1)]!;
        fit.run();
        halves[at / 2] = fit.scale;
        halves[at / 2 + 1] = fit.minimum;
        for (let b = 0; b < HALF; b++) stored[at + 4 + b] = fit.codes[b]! | (fit.codes[b + HALF]! << 4);
      }
    }
    return stored;
  },
  firstNonFinite(stored, rows, cols) {
    const halves = elements(stored, Uint16Array);
    const groups = Math.ceil(cols / GROUP);
    for (let group = 0; group < rows * groups; group++) {
      const at = (group * BLOCK_BYTES) / 2;
      if ((halves[at]! & 0x7c00) !== 0x7c00 && (halves[at + 1]! & 0x7c00) !== 0x7c00) continue;
      return Math.floor(group / groups) * cols + (group % groups) * GROUP;
    }
    return -1;
  },
  wasm: {
    code: 5,
    record: { cols: GROUP, rowBytes: BLOCK_BYTES },
    kernels: { convert: "convertToQ4", prepare: "prepareQ4", linear: "linearQ4" },
    activationBytes: 2,
    needsSums: true,
    isSource: false,
    unpackedBytes: 2,
  },
  wgsl: {
    word: "u32",
    scale: "u32",
    unitBytes: 4,
    unitScaleBytes: 1,
    groupUnits: 4,
    isHalf: false,
    read: `
  let w = words[row_at + unit];
  let affine = unpack2x16float(scales[(row_at + unit) >> 2u]);
  return array<vec4f, 2>(
    vec4f((vec4u(w) >> vec4u(0u, 4u, 8u, 12u)) & vec4u(15u)) * affine.x + affine.y,
    vec4f((vec4u(w) >> vec4u(16u, 20u, 24u, 28u)) & vec4u(15u)) * affine.x + affine.y,
  );`,
    peak({ scales }) {
      const halves = new Uint16Array(scales!.buffer, scales!.byteOffset, scales!.byteLength / 2);
      let peak = 0;
      for (let at = 0; at < halves.length; at += 2) {
        const [scale, minimum] = [fromFloat16Bits(halves[at]!), fromFloat16Bits(halves[at + 1]!)];
        peak = Math.max(peak, Math.abs(minimum), Math.abs(15 * scale + minimum));
      }
      return peak;
    },
    /** A unit is one word, its columns in order from the lowest nibble on; a scale is the word of a block's two halves. */
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
          words[b * 4 + half] = gather(first & 0x0f0f0f0f) | (gather(second & 0x0f0f0f0f) << 16);
          words[b * 4 + 2 + half] = gather((first >>> 4) & 0x0f0f0f0f) | (gather((second >>> 4) & 0x0f0f0f0f) << 16);
        }
      }
      return { words: new Uint8Array(words.buffer), scales };
    },
  },
};
