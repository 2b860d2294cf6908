/** @file f32: single precision. */
import { bytesOf, elements } from "../elements.ts";
import type { WeightFormat } from "../weight-format.ts";

export const f32: WeightFormat = {
  name: "f32",
  block: { values: 1, codeBits: 32, parts: [] },
  keepsVectors: true,
  dequantize(stored, _rows, _cols, out) {
    out.set(elements(stored, Float32Array));
  },
  quantize: (values) => bytesOf(values),
  firstNonFinite(stored) {
    const patterns = elements(stored, Int32Array);
    // NaN and infinity have an exponent of all ones.
    for (let i = 0; i < patterns.length; i++) if ((patterns[i]! & 0x7f800000) === 0x7f800000) return i;
    return -1;
  },
  wasm: {
    code: 0,
    record: { cols: 8, rowBytes: 32 },
    kernels: { convert: "convertToF32", prepare: "prepareF32", linear: "linearF32" },
    activationBytes: 4,
    isSource: true,
    unpackedBytes: 0,
  },
  wgsl: {
    word: "vec4f",
    unitBytes: 32,
    unitScaleBytes: 0,
    groupUnits: 1,
    isHalf: false,
    read: `
  let at = (row_at + unit) * 2u;
  return array<vec4f, 2>(words[at], words[at + 1u]);`,
  },
};
