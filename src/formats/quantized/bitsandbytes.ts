/**
 * @file bitsandbytes: NF4 and FP4 in blocks along the flattened matrix (QLoRA, arXiv 2305.14314), and int8 by output
 * (LLM.int8(), arXiv 2208.07339).
 *
 * 4 bit: weight U8 [values / 2][1], first value in the high nibble · quant_map F32 [16] · absmax F32 [blocks], or U8 with
 * nested_absmax and nested_quant_map · quant_state.*: JSON with blocksize and shape. value = quant_map[code] · absmax.
 * 8 bit: weight I8 [outputs][inputs] · SCB F32 [outputs]. value = code · SCB / 127
 */
import { isJsonObject, type JsonObject, parseJson } from "../json-file.ts";
import { expectShape, floatsOf, partOf } from "./parts.ts";
import { int8Weight, roundedWeight } from "./rows.ts";
import type { Part, QuantizedWeight, QuantScheme, ReadableWeight, Refuse } from "./scheme.ts";
import { ofMethod, whole } from "./settings.ts";

const STATES = ["weight.quant_state.bitsandbytes__nf4", "weight.quant_state.bitsandbytes__fp4"];

export const bitsandbytes: QuantScheme = {
  name: "bitsandbytes",
  kinds: [
    { what: "NF4, FP4", as: "q8", keepsCodes: false },
    { what: "int8 by output", as: "q8", keepsCodes: true },
  ],
  settings: ofMethod("bitsandbytes"),
  plannedType: () => "q8",
  parts: [
    "weight",
    "weight.absmax",
    "weight.quant_map",
    "weight.nested_absmax",
    "weight.nested_quant_map",
    ...STATES,
    "SCB",
    "weight_format",
  ],
  weight(weight, _settings, refuse) {
    const codes = partOf(weight, "weight", refuse);
    if (codes.stored === "I8" && weight.parts.has("SCB")) return int8(weight, codes, refuse);
    // With bnb_4bit_quant_storage the bytes of the codes are called BF16 or another type.
    const isFourBits = codes.stored === "U8" || weight.parts.has("weight.absmax");
    return isFourBits ? fourBits(weight, codes, refuse) : null;
  },
};

function int8(weight: QuantizedWeight, codes: Part, refuse: Refuse): ReadableWeight {
  const scales = partOf(weight, "SCB", refuse);
  const [rows = 0, cols = 0] = codes.shape;
  expectShape(scales, [rows], `for ${rows} outputs`, refuse);
  const order = weight.parts.get("weight_format");
  return int8Weight([rows, cols], cols, async () => {
    // 0 is row after row; 1 to 3 are orders of GPUs.
    if (order && (await order.read())[0] !== 0)
      throw refuse.unsupported(order.name, "expected rows one after the other (0), got another order");
    const [bytes, scale] = [await codes.read(), await floatsOf(scales, refuse)];
    return { codes: new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length), scaleOf: (row) => scale[row]! / 127 };
  });
}

/** The matrix is flattened; its shape is in the JSON of the state. */
async function fourBits(weight: QuantizedWeight, codes: Part, refuse: Refuse): Promise<ReadableWeight> {
  const part = STATES.map((name) => weight.parts.get(name)).find((one) => one !== undefined);
  if (!part) throw refuse.invalid(codes.name, `expected ${STATES[0]} beside it, got nothing`);
  const state = parseJson(await part.read(), part.name);
  const shape = isJsonObject(state) ? state["shape"] : undefined;
  if (!isJsonObject(state) || !Array.isArray(shape) || shape.length !== 2) {
    throw refuse.invalid(part.name, "expected JSON with the shape of the matrix, got none");
  }
  const [rows, cols] = shape as [number, number];
  if (codes.numBytes !== Math.ceil((rows * cols) / 2))
    throw refuse.invalid(codes.name, `expected ${(rows * cols) / 2} bytes for [${shape}], got ${codes.numBytes}`);
  const blockSize = whole(state, "blocksize", 1);
  return roundedWeight([rows, cols], async () => {
    const bytes = await codes.read();
    const map = await floatsOf(partOf(weight, "weight.quant_map", refuse), refuse);
    const peaks = await absmaxOf(weight, state, refuse);
    if (map.length !== 16 || peaks.length * blockSize < rows * cols) {
      throw refuse.invalid(
        codes.name,
        `expected a map of 16 values and a scale for each ${blockSize}, got ${map.length} and ${peaks.length}`,
      );
    }
    return (row, out) => {
      for (let i = 0, at = row * cols; i < cols; i++, at++) {
        const byte = bytes[at >> 1]!;
        out[i] = map[at & 1 ? byte & 15 : byte >> 4]! * peaks[Math.floor(at / blockSize)]!;
      }
    };
  });
}

/** Scales of the blocks; with double quantization they are themselves codes of 8 bits about a mean. */
async function absmaxOf(weight: QuantizedWeight, state: JsonObject, refuse: Refuse): Promise<Float32Array> {
  const absmax = partOf(weight, "weight.absmax", refuse);
  if (absmax.stored === "F32") return floatsOf(absmax, refuse);
  const outer = await floatsOf(partOf(weight, "weight.nested_absmax", refuse), refuse);
  const map = await floatsOf(partOf(weight, "weight.nested_quant_map", refuse), refuse);
  const size = whole(state, "nested_blocksize", 1);
  const mean = Number(state["nested_offset"] ?? 0);
  return Float32Array.from(await absmax.read(), (code, i) => map[code]! * outer[Math.floor(i / size)]! + mean);
}
