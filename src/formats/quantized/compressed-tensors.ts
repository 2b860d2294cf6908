/**
 * @file compressed-tensors (llm-compressor, vLLM): integers packed or plain, FP8 and FP4, by group, by output or by matrix.
 *
 * packed: weight_packed I32 [outputs][⌈inputs · bits / 32⌉], codes + 2^(bits − 1) · plain: weight I8 [outputs][inputs] ·
 * weight_scale [outputs][groups], [outputs][1] or [1] · weight_zero_point, packed along the outputs or I8 like the scales ·
 * weight_g_idx I32 [inputs] (actorder). value = scale · (code − zero)
 * nvfp4: weight_packed U8 · weight_scale F8_E4M3 by 16 · weight_global_scale F32. value = fp4 · scale / global scale
 * mxfp4: weight_packed U8 · weight_scale U8 by 32
 */
import { elements } from "../../weights/elements.ts";
import { isJsonObject, type JsonObject } from "../json-file.ts";
import { codeAt, packedWords } from "./codes.ts";
import { mxfp4Matrix, nvfp4Weight } from "./fp4.ts";
import { fp8Weight } from "./fp8.ts";
import { expectShape, floatsOf, isFp8, partOf, wordsOf } from "./parts.ts";
import { int8Weight, integerKinds, integerWeight } from "./rows.ts";
import type { Part, QuantizedWeight, QuantScheme, ReadableWeight, Refuse } from "./scheme.ts";
import { expectFormat, ofMethod, typeOfBits } from "./settings.ts";

const FORMATS = [
  ...["dense", "pack-quantized", "int-quantized", "float-quantized", "naive-quantized", "mixed-precision"],
  ...["nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized"],
];
/** In old files codes of 3, 5, 6 and 7 bits leave the rest of a word empty; their count of words does not fit. */
const BITS = [2, 3, 4, 5, 6, 7, 8];

export const compressedTensors: QuantScheme = {
  name: "compressed-tensors",
  kinds: [
    ...integerKinds(BITS),
    { what: "int8, not packed", as: "q8", keepsCodes: true },
    { what: "FP8", as: "q8", keepsCodes: false },
    { what: "NVFP4", as: "q8", keepsCodes: false },
    { what: "MXFP4", as: "mxfp4", keepsCodes: true },
  ],
  settings: ofMethod("compressed-tensors"),
  plannedType(settings) {
    const [group] = groupsOf(settings);
    const weights = group?.["weights"];
    if (!isJsonObject(weights)) return null;
    if (weights["type"] === "int") return typeOfBits(weights["num_bits"]);
    return String(group?.["format"] ?? settings["format"]).startsWith("mxfp4") ? "mxfp4" : "q8";
  },
  quantizes: () => ({ head: true }),
  parts: [
    ...["weight", "weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx"],
    ...["weight_global_scale", "input_scale", "input_zero_point", "input_global_scale", "output_scale"],
  ],
  async weight(weight, settings, refuse) {
    const groups = groupsOf(settings);
    const first = [...weight.parts.values()][0]!;
    for (const format of [settings["format"], ...groups.map((group) => group["format"])]) {
      if (format !== undefined && format !== null) expectFormat(first, "format", format, FORMATS, refuse);
    }
    const schemes = groups.map((group) => group["weights"]).filter(isJsonObject);
    const packed = weight.parts.get("weight_packed");
    if (packed)
      return packed.stored === "I32" ? integers(weight, packed, schemes, refuse) : fp4(weight, packed, refuse);
    const codes = partOf(weight, "weight", refuse);
    if (isFp8(codes.stored)) return fp8Weight(weight, schemes[0]?.["block_structure"], refuse);
    return codes.stored === "I8" ? plain(weight, codes, refuse) : null;
  },
};

/** What the file calls config groups: targets, and the scheme of their weights. Which of them a weight has, its tensors tell. */
const groupsOf = ({ config_groups: groups }: JsonObject): JsonObject[] =>
  isJsonObject(groups) ? Object.values(groups).filter(isJsonObject) : [];

function fp4(weight: QuantizedWeight, codes: Part, refuse: Refuse): ReadableWeight {
  const scales = partOf(weight, "weight_scale", refuse);
  if (scales.stored !== "F8_E4M3") return mxfp4Matrix(codes, scales, refuse);
  const part = partOf(weight, "weight_global_scale", refuse);
  return nvfp4Weight(codes, scales, { part, divides: true }, refuse);
}

/** How the scales of a matrix lie: [outputs][groups], or one for all. */
interface Scales {
  readonly perRow: number;
  /** Inputs that share a scale. */
  readonly size: number;
  at(row: number, group: number): number;
}

function scalesOf({ name, shape }: Part, rows: number, cols: number, refuse: Refuse): Scales {
  const count = shape.reduce((product, size) => product * size, 1);
  if (count === 1) return { perRow: 1, size: cols, at: () => 0 };
  const perRow = count / rows;
  if (shape[0] !== rows || !Number.isInteger(cols / perRow))
    throw refuse.invalid(name, `expected scales of ${rows} outputs and ${cols} inputs, got [${shape}]`);
  return { perRow, size: cols / perRow, at: (row, group) => row * perRow + group };
}

function plain(weight: QuantizedWeight, codes: Part, refuse: Refuse): ReadableWeight {
  const part = partOf(weight, "weight_scale", refuse);
  const [rows = 0, cols = 0] = codes.shape;
  const scales = scalesOf(part, rows, cols, refuse);
  const zeros = weight.parts.get("weight_zero_point");
  const isByBlocks = scales.perRow === 1 || scales.size % 32 === 0;
  const signed = async (): Promise<Int8Array> => elements(await codes.read(), Int8Array);
  if (!zeros && isByBlocks) {
    return int8Weight([rows, cols], scales.size, async () => {
      const [own, scale] = [await signed(), await floatsOf(part, refuse)];
      return { codes: own, scaleOf: (row, group) => scale[scales.at(row, group)]! };
    });
  }
  return integerWeight({
    shape: [rows, cols],
    bits: 8,
    size: scales.size,
    async open() {
      const [own, scale, zero] = [
        await signed(),
        await floatsOf(part, refuse),
        await zerosOf(zeros, scales, rows, 8, refuse),
      ];
      return {
        code: (row, input) => own[row * cols + input]! + 128,
        scale: (row, group) => scale[scales.at(row, group)]!,
        minimum: (row, group) => -scale[scales.at(row, group)]! * zero(row, group),
      };
    },
  });
}

async function integers(
  weight: QuantizedWeight,
  words: Part,
  schemes: readonly JsonObject[],
  refuse: Refuse,
): Promise<ReadableWeight> {
  const part = partOf(weight, "weight_scale", refuse);
  const [rows = 0, perRow = 0] = words.shape;
  const { bits, cols } = await bitsOf(weight, words, schemes, refuse);
  const scales = scalesOf(part, rows, cols, refuse);
  const sizes = schemes.map((scheme) => scheme["group_size"]).filter((size) => typeof size === "number" && size > 0);
  if (scales.perRow > 1 && sizes.length > 0 && !sizes.includes(scales.size))
    throw refuse.invalid(
      part.name,
      `expected groups of ${[...new Set(sizes)].join(" or ")} inputs, got ${scales.size}`,
    );
  const order = weight.parts.get("weight_g_idx");
  // An order of −1 has not been set.
  const groupOf = order ? elements(await order.read(), Int32Array) : null;
  const isOutOfOrder = groupOf?.some((group, i) => group !== -1 && group !== Math.floor(i / scales.size)) ?? false;
  if (isOutOfOrder && groupOf!.some((group) => group < 0 || group >= scales.perRow))
    throw refuse.invalid(order!.name, `expected groups from 0 to ${scales.perRow - 1}, got others`);
  const zeros = weight.parts.get("weight_zero_point");
  return integerWeight({
    shape: [rows, cols],
    bits,
    size: scales.size,
    isOutOfOrder,
    async open() {
      const [codes, scale, zero] = [
        await wordsOf(words),
        await floatsOf(part, refuse),
        await zerosOf(zeros, scales, rows, bits, refuse),
      ];
      return {
        groupOf: isOutOfOrder ? groupOf : null,
        code: (row, input) => codeAt(codes, row * perRow, 1, bits, input),
        scale: (row, group) => scale[scales.at(row, group)]!,
        minimum: (row, group) => -scale[scales.at(row, group)]! * zero(row, group),
      };
    },
  });
}

/** Bits of config.json that fit the words of a row and the inputs in `weight_shape`. */
async function bitsOf(weight: QuantizedWeight, words: Part, schemes: readonly JsonObject[], refuse: Refuse) {
  const choices = [...new Set(schemes.map((scheme) => Number(scheme["num_bits"] ?? 4)))];
  if (choices.length === 0) choices.push(4);
  const odd = choices.find((bits) => !BITS.includes(bits));
  if (odd !== undefined) throw refuse.unsupported(words.name, `expected ${BITS.join(", ")} bits, got ${odd}`);
  const perRow = words.shape[1] ?? 0;
  const [only = 4] = choices;
  if (choices.length === 1 && 32 % only === 0 && !weight.parts.has("weight_shape"))
    return { bits: only, cols: (perRow * 32) / only };
  const shape = elements(await partOf(weight, "weight_shape", refuse).read(), BigInt64Array);
  const cols = Number(shape[1] ?? 0n);
  const bits = choices.find((choice) => packedWords(cols, choice) === perRow);
  if (bits !== undefined && Number(shape[0]) === words.shape[0]) return { bits, cols };
  throw refuse.invalid(
    words.name,
    `expected codes of ${choices.join(" or ")} bits for the [${shape.join(",")}] of its weight_shape, got [${words.shape}]`,
  );
}

/** Zeros of codes from 0 on: the middle where there are none. Packed along the outputs, or I8 like the scales. */
async function zerosOf(
  part: Part | undefined,
  scales: Scales,
  rows: number,
  bits: number,
  refuse: Refuse,
): Promise<(row: number, group: number) => number> {
  const middle = 2 ** (bits - 1);
  if (!part) return () => middle;
  if (part.stored === "I8") {
    const own = elements(await part.read(), Int8Array);
    const isOne = own.length === 1;
    if (!isOne) expectShape(part, [rows, scales.perRow], "like the scales", refuse);
    return (row, group) => middle + own[isOne ? 0 : row * scales.perRow + group]!;
  }
  if (part.stored !== "I32")
    throw refuse.unsupported(part.name, `expected zero points packed into I32, or I8, got ${part.stored}`);
  expectShape(part, [packedWords(rows, bits), scales.perRow], `for ${rows} outputs of ${bits} bits`, refuse);
  const own = await wordsOf(part);
  return (row, group) => codeAt(own, group, scales.perRow, bits, row);
}
