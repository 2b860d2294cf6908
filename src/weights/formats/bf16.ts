/** @file bf16: the upper half of an f32, rounded to nearest even. */
import { fromBfloat16Bits } from "../../math/float16.ts";
import { elements } from "../elements.ts";
import { halfFormat, readPairs } from "../halves.ts";
import type { WeightFormat } from "../weight-format.ts";

const word = new Float32Array(1);
const wordBits = new Uint32Array(word.buffer);
function toBfloat16Bits(value: number): number {
  word[0] = value;
  const bits = wordBits[0]!;
  // Round half to even: add half of the last kept bit, and that bit itself.
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

export const bf16: WeightFormat = {
  ...halfFormat({ name: "bf16", exponentMask: 0x7f80, toFloat: fromBfloat16Bits, fromFloat: toBfloat16Bits }),
  wasm: {
    code: 2,
    record: { cols: 8, rowBytes: 16 },
    kernels: { convert: "convertToBf16", prepare: "prepareBf16", linear: "linearBf16" },
    activationBytes: 4,
    isSource: true,
    unpackedBytes: 4,
  },
  wgsl: {
    word: "vec4u",
    unitBytes: 16,
    unitScaleBytes: 0,
    groupUnits: 1,
    isHalf: false,
    read: readPairs((pair) => `bitcast<vec2f>(vec2u(${pair} << 16u, ${pair} & 0xffff0000u))`),
    peak({ words }) {
      const patterns = elements(words, Uint16Array);
      let most = 0;
      for (let i = 0; i < patterns.length; i++) most = Math.max(most, patterns[i]! & 0x7fff);
      return fromBfloat16Bits(most);
    },
  },
};
