/**
 * @file compressed-tensors (llm-compressor, vLLM): int4 and int8 packed or plain, and FP8, by group, by output or by matrix.
 *
 * packed: weight_packed I32 [outputs][⌈inputs · bits / 32⌉], codes + 2^(bits − 1) · plain: weight I8 [outputs][inputs] ·
 * weight_scale [outputs][groups], [outputs][1] or [1] · weight_zero_point, packed along the outputs or I8.
 * value = scale · (code − zero)
 */
import { isJsonObject, type JsonObject } from "../json-file.ts";
import { fp8Weight } from "./fp8.ts";
import { floatsOf, partOf, wordsOf } from "./parts.ts";
import { affineWeight, int8Weight, isWholeBlocks, roundedWeight } from "./rows.ts";
import type { QuantizedWeight, QuantScheme, ReadableWeight, Refuse } from "./scheme.ts";
import { ofMethod } from "./settings.ts";

export const compressedTensors: QuantScheme = {
  name: "compressed-tensors",
  settings: ofMethod("compressed-tensors"),
  parts: [
    "weight",
    "weight_packed",
    "weight_scale",
    "weight_zero_point",
    "weight_shape",
    "weight_g_idx",
    "input_scale",
  ],
  weight(weight, settings, refuse) {
    if (weight.parts.has("weight_g_idx")) {
      throw refuse.unsupported(
        `${weight.module}.weight_g_idx`,
        "expected inputs in order, got an order of its own (actorder)",
      );
    }
    if (weight.parts.has("weight_packed")) return packed(weight, settings, refuse);
    const codes = partOf(weight, "weight", refuse);
    if (codes.stored === "F8_E4M3") return fp8Weight(weight, blockStructure(settings), refuse);
    return codes.stored === "I8" ? plain(weight, refuse) : null;
  },
};

/** The settings of the weights; files with several groups are told apart by their shapes. */
function weightSettings(settings: JsonObject): JsonObject {
  const [group] = Object.values(isJsonObject(settings["config_groups"]) ? settings["config_groups"] : {});
  const weights = isJsonObject(group) ? group["weights"] : undefined;
  return isJsonObject(weights) ? weights : {};
}

const blockStructure = (settings: JsonObject): unknown => weightSettings(settings)["block_structure"];

function plain(weight: QuantizedWeight, refuse: Refuse): ReadableWeight {
  const codes = partOf(weight, "weight", refuse);
  const scales = partOf(weight, "weight_scale", refuse);
  if (weight.parts.has("weight_zero_point")) {
    throw refuse.unsupported(`${weight.module}.weight_zero_point`, "expected symmetric int8, got zero points");
  }
  const [rows = 0, cols = 0] = codes.shape;
  const groups = groupsOf(scales.shape, rows);
  const size = cols / groups.perRow;
  if (!groups.isValid || !Number.isInteger(size))
    throw refuse.invalid(scales.name, `expected scales of ${rows} outputs, got [${scales.shape}]`);
  const open = async () => {
    const [bytes, scale] = [await codes.read(), await floatsOf(scales, refuse)];
    const scaleOf = (row: number, group: number): number => scale[groups.isShared ? 0 : row * groups.perRow + group]!;
    return { codes: new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length), scaleOf };
  };
  if (groups.perRow === 1 || isWholeBlocks(cols, size)) return int8Weight([rows, cols], size, open);
  return roundedWeight([rows, cols], async () => {
    const { codes: own, scaleOf } = await open();
    return (row, out) => {
      for (let i = 0; i < cols; i++) out[i] = own[row * cols + i]! * scaleOf(row, Math.floor(i / size));
    };
  });
}

function groupsOf(shape: readonly number[], rows: number) {
  const count = shape.reduce((product, size) => product * size, 1);
  const isShared = count === 1;
  return { isShared, perRow: isShared ? 1 : count / rows, isValid: isShared || shape[0] === rows };
}

function packed(weight: QuantizedWeight, settings: JsonObject, refuse: Refuse): ReadableWeight {
  const words = partOf(weight, "weight_packed", refuse);
  if (words.stored !== "I32")
    throw refuse.unsupported(words.name, `expected codes packed into I32, got ${words.stored} (nvfp4?)`);
  const scales = partOf(weight, "weight_scale", refuse);
  const bits = Number(weightSettings(settings)["num_bits"] ?? 4);
  if (bits !== 4 && bits !== 8) throw refuse.unsupported(words.name, `expected 4 or 8 bits, got ${bits}`);
  const [rows = 0, wordsPerRow = 0] = words.shape;
  const perWord = 32 / bits;
  const cols = wordsPerRow * perWord;
  const groups = groupsOf(scales.shape, rows);
  const size = cols / groups.perRow;
  if (!groups.isValid || !Number.isInteger(size)) {
    throw refuse.invalid(
      scales.name,
      `expected scales of ${rows} outputs and ${cols} inputs of ${bits} bits, got [${scales.shape}]`,
    );
  }
  const zeros = weight.parts.get("weight_zero_point");
  if (zeros && zeros.stored !== "I32")
    throw refuse.unsupported(zeros.name, `expected zero points packed into I32, got ${zeros.stored}`);
  const [middle, mask] = [2 ** (bits - 1), 2 ** bits - 1];
  const open = async () => {
    const [codes, scale, zero] = [
      await wordsOf(words),
      await floatsOf(scales, refuse),
      zeros ? await wordsOf(zeros) : null,
    ];
    return {
      code: (row: number, i: number): number =>
        (codes[row * wordsPerRow + Math.floor(i / perWord)]! >>> (bits * (i % perWord))) & mask,
      // Packed along the outputs: [⌈outputs · bits / 32⌉][groups].
      zero: (row: number, group: number): number =>
        zero ? (zero[Math.floor(row / perWord) * groups.perRow + group]! >>> (bits * (row % perWord))) & mask : middle,
      scaleOf: (row: number, group: number): number => scale[groups.isShared ? 0 : row * groups.perRow + group]!,
    };
  };
  if (bits === 4 && isWholeBlocks(cols, size)) {
    return affineWeight([rows, cols], size, async () => {
      const { code, zero, scaleOf } = await open();
      return (row, into) => {
        for (let i = 0; i < cols; i++) into.codes[i] = code(row, i);
        for (let g = 0; g < groups.perRow; g++) {
          into.scales[g] = scaleOf(row, g);
          into.minimums[g] = -scaleOf(row, g) * zero(row, g);
        }
      };
    });
  }
  return roundedWeight([rows, cols], async () => {
    const { code, zero, scaleOf } = await open();
    return (row, out) => {
      for (let i = 0; i < cols; i++) {
        const group = Math.floor(i / size);
        out[i] = scaleOf(row, group) * (code(row, i) - zero(row, group));
      }
    };
  });
}
