/**
 * @file NVFP4 (NVIDIA Blackwell; vllm#37192, TensorRT-LLM#6244): floats of 4 bits (E2M1) in blocks of 16 coordinates, each with a scale of 8
 * bits (E4M3), not rotated, no sinks and no window. Hardware has a second scale for a whole tensor, which a cache that is written token by
 * token takes from a checkpoint or leaves at 1; here it is 1, as the range of E4M3 holds the scales of keys and values.
 */
import { type PageRegions, rowAt } from "../../page-regions.ts";
import { MAX_FLOAT16 } from "../../sanitize.ts";
import { planesOf, readCodes, writeCodes } from "../code-planes.ts";
import type { SideCodec, StoredRows } from "../side-codec.ts";
import { plainSpec, type SideSpec } from "../side-spec.ts";

export interface Fp4Side {
  readonly kind: "fp4";
}

const TYPE = "nvfp4";
/** Coordinates that share a scale. */
const BLOCK = 16;
/** The magnitudes of E2M1 in the order of their codes; the sign is the fourth bit. */
const MAGNITUDES = [0, 0.5, 1, 1.5, 2, 3, 4, 6];
const LARGEST = 6;
const SIGN = 8;

/** The magnitudes of E4M3 in the order of their codes, up to 448; the last code is a NaN. */
const SCALES = Float32Array.from({ length: 127 }, (_, code) => {
  const [exponent, mantissa] = [code >> 3, code & 7];
  return exponent === 0 ? mantissa * 2 ** -9 : (1 + mantissa / 8) * 2 ** (exponent - 7);
});

/** Code of the nearest of ascending values, the even one of two that are equally near. */
function nearest(values: ArrayLike<number>, x: number): number {
  let [low, high] = [0, values.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle]! <= x) low = middle;
    else high = middle;
  }
  const [below, above] = [x - values[low]!, values[high]! - x];
  if (below === above) return low % 2 === 0 ? low : high;
  return below < above ? low : high;
}

class Fp4Rows implements StoredRows {
  readonly #codes: Uint8Array;

  constructor(headDim: number) {
    this.#codes = new Uint8Array(headDim);
  }

  write(x: Float32Array, page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number): void {
    const { planes, scales } = layout[side];
    const at = rowAt(scales[0]!, head, row);
    for (let start = 0; start < x.length; start += BLOCK) {
      const block = x.subarray(start, start + BLOCK);
      const largest = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const code = nearest(SCALES, largest / LARGEST);
      page[at + start / BLOCK] = code;
      const scale = SCALES[code]!;
      block.forEach((value, i) => {
        const magnitude = scale > 0 ? nearest(MAGNITUDES, Math.min(LARGEST, Math.abs(value) / scale)) : 0;
        this.#codes[start + i] = magnitude + (value < 0 ? SIGN : 0);
      });
    }
    writeCodes(this.#codes, 4, page, planes, head, row);
  }

  read(page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number, out: Float32Array): void {
    const { planes, scales } = layout[side];
    readCodes(this.#codes, 4, page, planes, head, row);
    const at = rowAt(scales[0]!, head, row);
    for (let i = 0; i < out.length; i++) {
      const stored = page[at + Math.floor(i / BLOCK)]!;
      // Scales are positive as they are written; a sign that is there is read.
      const scale = (stored & 0x80 ? -1 : 1) * (SCALES[stored & 0x7f] ?? 0);
      const code = this.#codes[i]!;
      out[i] = scale * MAGNITUDES[code & 7]! * (code & SIGN ? -1 : 1);
    }
  }
}

export const fp4Codec: SideCodec<Fp4Side> = {
  kind: "fp4",
  syntax: {
    types: [TYPE],
    parseType: (text): SideSpec | null => (text === TYPE ? plainSpec(text) : null),
    presets: [TYPE],
    examples: [TYPE],
    parsePreset: (text) => (text === TYPE ? { k: plainSpec(TYPE), v: plainSpec(TYPE), rotation: "none" } : null),
  },
  sideOf: ({ type }) => (type === TYPE ? { kind: "fp4" } : null),
  typeOf: () => TYPE,
  nameOf: () => TYPE,
  isFloat: false,
  bitsOf: () => 4,
  isRotated: () => true,
  largestOf: () => MAX_FLOAT16,
  regionsOf: (_, { headDim }) => ({
    planes: planesOf(4, headDim),
    scales: [{ name: "scales", rowBytes: Math.ceil(headDim / BLOCK) }],
  }),
  rowsOf: (_, headDim) => new Fp4Rows(headDim),
};
