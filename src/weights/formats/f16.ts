/** @file f16: IEEE half precision. Values beyond ±65504 are clamped. */
import { fromFloat16Bits, toFloat16Bits } from "../../math/float16.ts";
import { MAX_FLOAT16 } from "../../quant/sanitize.ts";
import { halfFormat, readPairs } from "../halves.ts";
import type { WeightFormat } from "../weight-format.ts";

export const f16: WeightFormat = {
  ...halfFormat({
    name: "f16",
    exponentMask: 0x7c00,
    toFloat: fromFloat16Bits,
    fromFloat: (value) => toFloat16Bits(Math.max(-MAX_FLOAT16, Math.min(MAX_FLOAT16, value))),
  }),
  wasm: {
    code: 1,
    record: { cols: 8, rowBytes: 16 },
    kernels: { convert: "convertToF16", prepare: "prepareF16", linear: "linearF16" },
    activationBytes: 4,
    isSource: true,
    unpackedBytes: 4,
  },
  wgsl: {
    word: "vec4u",
    unitBytes: 16,
    unitScaleBytes: 0,
    groupUnits: 1,
    isHalf: true,
    read: readPairs((word) => `unpack2x16float(${word})`),
  },
};
