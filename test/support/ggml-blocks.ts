/**
 * @file Packs numbers into ggml's block formats, for files that are written here. Plain rounding without a search for better
 * scales: what matters is that every field of a block is in use, not how little is lost.
 */
import { toFloat16Bits } from "../../src/math/float16.ts";

export interface GgmlType {
  /** ggml's number of the type. */
  readonly id: number;
  /** Values of a block and their bytes. */
  readonly values: number;
  readonly bytes: number;
  /** x: the values of one block · out: its bytes, zero before */
  pack(x: Float32Array, out: Uint8Array): void;
}

const setHalf = (out: Uint8Array, at: number, value: number): void => {
  const bits = toFloat16Bits(value);
  out[at] = bits & 255;
  out[at + 1] = bits >> 8;
};
const float = new Float32Array(1);
const floatBits = new Uint32Array(float.buffer);
const clamp = (x: number, least: number, most: number): number => Math.max(least, Math.min(most, Math.round(x)));
const divided = (x: number, by: number): number => (by === 0 ? 0 : x / by);

/** The value that is farthest from zero, with its sign. */
function extreme(x: Float32Array): number {
  let found = 0;
  for (const value of x) if (Math.abs(value) > Math.abs(found)) found = value;
  return found;
}

/** Of `count` codes: scale, and minimum of at most 0, that cover the values. */
function range(x: Float32Array, count: number): { scale: number; minimum: number } {
  const minimum = Math.min(0, ...x);
  return { scale: (Math.max(...x) - minimum) / (count - 1), minimum };
}

function plain(id: number, bytes: number, bits: (value: number) => number): GgmlType {
  return {
    id,
    values: 1,
    bytes,
    pack(x, out) {
      for (let i = 0; i < bytes; i++) out[i] = (bits(x[0]!) >>> (8 * i)) & 255;
    },
  };
}

function bitsOf(value: number): number {
  float[0] = value;
  return floatBits[0]!;
}

/** Byte i holds value i in its low and value i + 16 in its high half. */
function packNibbles(codes: ArrayLike<number>, from: number, out: Uint8Array, at: number): void {
  for (let i = 0; i < 16; i++) out[at + i] = (codes[from + i]! & 15) | ((codes[from + i + 16]! & 15) << 4);
}

/** Bit i of the word at `at` is the fifth bit of code i. */
function packFifthBits(codes: Int32Array, out: Uint8Array, at: number): void {
  for (const [i, code] of codes.entries()) out[at + (i >> 3)]! |= (code >> 4) << (i & 7);
}

/** Blocks of 32 with one scale; codes of `bits` bits count from −2^(bits−1). */
function symmetric(id: number, bits: 4 | 5): GgmlType {
  const half = 2 ** (bits - 1);
  const high = bits === 5 ? 4 : 0;
  return {
    id,
    values: 32,
    bytes: 18 + high,
    pack(x, out) {
      const d = extreme(x) / -half;
      setHalf(out, 0, d);
      const codes = Int32Array.from(x, (value) => clamp(divided(value, d) + half, 0, 2 * half - 1));
      if (high) packFifthBits(codes, out, 2);
      packNibbles(codes, 0, out, 2 + high);
    },
  };
}

/** Blocks of 32 with a scale and a minimum. */
function affine(id: number, bits: 4 | 5): GgmlType {
  const high = bits === 5 ? 4 : 0;
  return {
    id,
    values: 32,
    bytes: 20 + high,
    pack(x, out) {
      const minimum = Math.min(...x);
      const scale = (Math.max(...x) - minimum) / (2 ** bits - 1);
      setHalf(out, 0, scale);
      setHalf(out, 2, minimum);
      const codes = Int32Array.from(x, (value) => clamp(divided(value - minimum, scale), 0, 2 ** bits - 1));
      if (high) packFifthBits(codes, out, 4);
      packNibbles(codes, 0, out, 4 + high);
    },
  };
}

/** Groups of a super-block, one after the other. */
const groupsOf = (x: Float32Array, size: number): Float32Array[] =>
  Array.from({ length: x.length / size }, (_, g) => x.subarray(g * size, (g + 1) * size));

/** Scales and minimums of groups as integers of `bits` bits under one f16 number each, and the codes that follow. */
function nested(x: Float32Array, size: number, count: number, bits: number) {
  const ranges = groupsOf(x, size).map((group) => range(group, count));
  const most = 2 ** bits - 1;
  const d = Math.max(...ranges.map(({ scale }) => scale)) / most;
  const dmin = Math.max(...ranges.map(({ minimum }) => -minimum)) / most;
  const scales = ranges.map(({ scale }) => clamp(divided(scale, d), 0, most));
  const minimums = ranges.map(({ minimum }) => clamp(divided(-minimum, dmin), 0, most));
  const codes = Int32Array.from(x, (value, i) => {
    const g = Math.floor(i / size);
    return clamp(divided(value + dmin * minimums[g]!, d * scales[g]!), 0, count - 1);
  });
  return { d, dmin, scales, minimums, codes };
}

/** Signed scales of groups under one f16 number, so that code −`half` is the value farthest from zero. */
function signed(x: Float32Array, size: number, half: number, most: number) {
  const own = groupsOf(x, size).map((group) => extreme(group) / -half);
  const d = Math.max(...own.map(Math.abs)) / most;
  const scales = own.map((scale) => clamp(divided(scale, d), -most, most));
  const codeOf = (value: number, i: number): number => divided(value, d * scales[Math.floor(i / size)]!);
  return { d, scales, codeOf };
}

/** The two low bits of 256 codes: 128 values take 32 bytes, two bits of each byte after the other. */
function packPairs(codes: Int32Array, out: Uint8Array, at: number): void {
  for (const [i, code] of codes.entries()) {
    out[at + 32 * (i >> 7) + (i & 31)]! |= (code & 3) << (2 * ((i >> 5) & 3));
  }
}

/** Eight scales and minimums of six bits in 12 bytes. */
function packSixBits(scales: readonly number[], minimums: readonly number[], out: Uint8Array, at: number): void {
  for (let g = 0; g < 4; g++) {
    out[at + g] = scales[g]! | ((scales[g + 4]! >> 4) << 6);
    out[at + g + 4] = minimums[g]! | ((minimums[g + 4]! >> 4) << 6);
    out[at + g + 8] = (scales[g + 4]! & 15) | ((minimums[g + 4]! & 15) << 4);
  }
}

/** Eight groups of 32 with scale and minimum; two groups share 32 bytes of low bits, the fifth bits are a mask before them. */
function superAffine(id: number, bits: 4 | 5): GgmlType {
  const high = bits === 5 ? 32 : 0;
  return {
    id,
    values: 256,
    bytes: 144 + high,
    pack(x, out) {
      const { d, dmin, scales, minimums, codes } = nested(x, 32, 2 ** bits, 6);
      setHalf(out, 0, d);
      setHalf(out, 2, dmin);
      packSixBits(scales, minimums, out, 4);
      for (const [i, code] of codes.entries()) {
        const [group, n] = [i >> 5, i & 31];
        out[16 + high + 32 * (group >> 1) + n]! |= (code & 15) << (4 * (group & 1));
        if (high) out[16 + n]! |= (code >> 4) << group;
      }
    },
  };
}

/** Sixteen uneven levels. */
const LEVELS = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
const FP4 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6];

function nearest(levels: readonly number[], value: number): number {
  let best = 0;
  for (const [i, level] of levels.entries()) {
    if (Math.abs(level - value) < Math.abs(levels[best]! - value)) best = i;
  }
  return best;
}

/** By name, as Transformers' and our names have them: lower case. */
export const GGML_TYPES: Readonly<Record<string, GgmlType>> = {
  f32: plain(0, 4, bitsOf),
  f16: plain(1, 2, toFloat16Bits),
  // Half of the last place, and one more where the last bit is set: ties go to even.
  bf16: plain(30, 2, (value) => (bitsOf(value) + 0x7fff + ((bitsOf(value) >>> 16) & 1)) >>> 16),
  q8_0: {
    id: 8,
    values: 32,
    bytes: 34,
    pack(x, out) {
      const d = Math.abs(extreme(x)) / 127;
      setHalf(out, 0, d);
      for (const [i, value] of x.entries()) out[2 + i] = clamp(divided(value, d), -127, 127);
    },
  },
  q4_0: symmetric(2, 4),
  q4_1: affine(3, 4),
  q5_0: symmetric(6, 5),
  q5_1: affine(7, 5),
  q2_k: {
    id: 10,
    values: 256,
    bytes: 84,
    pack(x, out) {
      const { d, dmin, scales, minimums, codes } = nested(x, 16, 4, 4);
      for (const [g, scale] of scales.entries()) out[g] = scale | (minimums[g]! << 4);
      packPairs(codes, out, 16);
      setHalf(out, 80, d);
      setHalf(out, 82, dmin);
    },
  },
  q3_k: {
    id: 11,
    values: 256,
    bytes: 110,
    pack(x, out) {
      const { d, scales, codeOf } = signed(x, 16, 4, 31);
      const codes = Int32Array.from(x, (value, i) => clamp(codeOf(value, i) + 4, 0, 7));
      for (const [i, code] of codes.entries()) out[i & 31]! |= (code >> 2) << (i >> 5);
      packPairs(codes, out, 32);
      for (const [g, scale] of scales.entries()) {
        const stored = scale + 32;
        out[96 + (g & 7)]! |= (stored & 15) << (4 * (g >> 3));
        out[104 + (g & 3)]! |= (stored >> 4) << (2 * (g >> 2));
      }
      setHalf(out, 108, d);
    },
  },
  q4_k: superAffine(12, 4),
  q5_k: superAffine(13, 5),
  q6_k: {
    id: 14,
    values: 256,
    bytes: 210,
    pack(x, out) {
      const { d, scales, codeOf } = signed(x, 16, 32, 127);
      for (const [i, value] of x.entries()) {
        const code = clamp(codeOf(value, i) + 32, 0, 63);
        const [half, quarter, n] = [i >> 7, (i >> 5) & 3, i & 31];
        out[64 * half + 32 * (quarter & 1) + n]! |= (code & 15) << (4 * (quarter >> 1));
        out[128 + 32 * half + n]! |= (code >> 4) << (2 * quarter);
      }
      for (const [g, scale] of scales.entries()) out[192 + g] = scale;
      setHalf(out, 208, d);
    },
  },
  iq4_nl: {
    id: 20,
    values: 32,
    bytes: 18,
    pack(x, out) {
      const d = extreme(x) / LEVELS[0]!;
      setHalf(out, 0, d);
      packNibbles(
        Array.from(x, (value) => nearest(LEVELS, divided(value, d))),
        0,
        out,
        2,
      );
    },
  },
  iq4_xs: {
    id: 23,
    values: 256,
    bytes: 136,
    pack(x, out) {
      const { d, scales, codeOf } = signed(x, 32, 127, 31);
      setHalf(out, 0, d);
      const codes = Array.from(x, (value, i) => nearest(LEVELS, codeOf(value, i)));
      for (const [g, scale] of scales.entries()) {
        const stored = scale + 32;
        out[4 + (g >> 1)]! |= (stored & 15) << (4 * (g & 1));
        out[2 + (g >> 2)]! |= (stored >> 4) << (2 * (g & 3));
        packNibbles(codes, 32 * g, out, 8 + 16 * g);
      }
    },
  },
  mxfp4: {
    id: 39,
    values: 32,
    bytes: 17,
    pack(x, out) {
      // The largest of FP4 is 6: the power of two below the extreme, less two.
      const exponent = Math.floor(Math.log2(Math.abs(extreme(x)) || 1)) - 2;
      out[0] = exponent + 127;
      packNibbles(
        Array.from(x, (value) => nearest(FP4, value * 2 ** -exponent)),
        0,
        out,
        1,
      );
    },
  },
};

/** Rows of whole blocks, one after the other. @throws Error — no such type, or a row that is no whole number of blocks */
export function packed(name: string, values: Float32Array, cols: number): Uint8Array {
  const type = GGML_TYPES[name];
  if (!type || cols % type.values !== 0) throw new Error(`ggml: ${name} holds no rows of ${cols} values`);
  const blocks = values.length / type.values;
  const out = new Uint8Array(blocks * type.bytes);
  for (let b = 0; b < blocks; b++) {
    type.pack(
      values.subarray(b * type.values, (b + 1) * type.values),
      out.subarray(b * type.bytes, (b + 1) * type.bytes),
    );
  }
  return out;
}
