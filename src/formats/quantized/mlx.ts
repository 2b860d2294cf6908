/**
 * @file MLX: affine codes of 2 to 6 and of 8 bits with a scale and a bias for each group, and the modes mxfp4, nvfp4 and mxfp8.
 *
 * weight U32 [outputs][inputs · bits / 32], the first code in the lowest bits · scales [outputs][groups], U8 in the other modes ·
 * biases [outputs][groups]. value = scale · code + bias. Bits, group size and mode may differ from weight to weight.
 */
import { isJsonObject, type JsonObject } from "../json-file.ts";
import { codeAt } from "./codes.ts";
import { mxfp4Matrix, nvfp4Weight } from "./fp4.ts";
import { expectShape, floatsOf, fp8Values, partOf, powersOfTwo, wordsOf } from "./parts.ts";
import { integerKinds, integerWeight, roundedWeight } from "./rows.ts";
import type { Part, QuantizedWeight, QuantScheme, ReadableWeight, Refuse } from "./scheme.ts";
import { typeOfBits, whole } from "./settings.ts";

const BITS = [2, 3, 4, 5, 6, 8];
const MODES = ["affine", "mxfp4", "nvfp4", "mxfp8"];

export const mlx: QuantScheme = {
  name: "mlx",
  kinds: [
    ...integerKinds(BITS, false),
    { what: "MXFP4", as: "mxfp4", keepsCodes: true },
    { what: "NVFP4", as: "q8", keepsCodes: false },
    { what: "MXFP8", as: "q8", keepsCodes: false },
  ],
  settings: ({ quantization, quantization_config: settings }) => {
    const own = isJsonObject(quantization) ? quantization : settings;
    const isOurs = isJsonObject(own) && own["quant_method"] === undefined && own["group_size"] !== undefined;
    return isOurs ? own : null;
  },
  plannedType: ({ mode = "affine", bits }) =>
    mode === "affine"
      ? typeOfBits(bits)
      : mode === "mxfp4"
        ? "mxfp4"
        : mode === "nvfp4" || mode === "mxfp8"
          ? "q8"
          : null,
  quantizes: () => ({ embedding: true, head: true }),
  parts: ["weight", "scales", "biases"],
  weight(weight, settings, refuse) {
    const codes = partOf(weight, "weight", refuse);
    if (!weight.parts.has("scales")) return null;
    const scales = partOf(weight, "scales", refuse);
    const named = settings[weight.module];
    const own: JsonObject = isJsonObject(named) ? { ...settings, ...named } : settings;
    const mode = own["mode"] ?? "affine";
    if (mode === "affine") return affine(weight, codes, scales, own, refuse);
    if (mode === "mxfp4") return mxfp4Matrix(codes, scales, refuse);
    if (mode === "nvfp4") return nvfp4Weight(codes, scales, null, refuse);
    if (mode === "mxfp8") return mxfp8(codes, scales, refuse);
    throw refuse.unsupported(codes.name, `expected mode ${MODES.join(", ")}, got ${String(mode).slice(0, 40)}`);
  },
};

function affine(weight: QuantizedWeight, codes: Part, scales: Part, own: JsonObject, refuse: Refuse): ReadableWeight {
  const biases = partOf(weight, "biases", refuse);
  const size = whole(own, "group_size", 1);
  const bits = whole(own, "bits", 1);
  if (!BITS.includes(bits)) throw refuse.unsupported(codes.name, `expected ${BITS.join(", ")} bits, got ${bits}`);
  const [rows = 0, groups = 0] = scales.shape;
  const cols = groups * size;
  const words = (cols * bits) / 32;
  expectShape(codes, [rows, words], `for ${cols} inputs of ${bits} bits`, refuse);
  expectShape(biases, [rows, groups], "like its scales", refuse);
  return integerWeight({
    shape: [rows, cols],
    bits,
    size,
    async open() {
      const [packed, scale, bias] = [
        await wordsOf(codes),
        await floatsOf(scales, refuse),
        await floatsOf(biases, refuse),
      ];
      return {
        code: (row, input) => codeAt(packed, row * words, 1, bits, input),
        scale: (row, group) => scale[row * groups + group]!,
        minimum: (row, group) => bias[row * groups + group]!,
      };
    },
  });
}

/** Mode mxfp8: FP8, four values a word, with a power of two as the scale of 32 values. */
function mxfp8(codes: Part, scales: Part, refuse: Refuse): ReadableWeight {
  const [rows = 0, words = 0] = codes.shape;
  const cols = words * 4;
  expectShape(scales, [rows, cols / 32], `for ${cols} inputs in groups of 32`, refuse);
  return roundedWeight([rows, cols], async () => {
    const [values, scale] = [fp8Values(await codes.read(), "F8_E4M3"), powersOfTwo(await scales.read())];
    return (row, out) => {
      for (let i = 0, at = row * cols; i < cols; i++, at++) out[i] = values[at]! * scale[at >> 5]!;
    };
  });
}
