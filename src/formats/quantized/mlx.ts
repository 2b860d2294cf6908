/**
 * @file MLX's affine quantization of 2, 4 and 8 bits: codes packed along the inputs, a scale and a bias for each group.
 *
 * weight U32 [outputs][inputs · bits / 32] · scales, biases [outputs][groups]. value = scale · code + bias. Bits and group size
 * may differ from weight to weight; the shapes tell bits.
 */
import { isJsonObject } from "../json-file.ts";
import { expectShape, floatsOf, partOf, wordsOf } from "./parts.ts";
import { affineWeight, isWholeBlocks, roundedWeight } from "./rows.ts";
import type { QuantScheme } from "./scheme.ts";
import { whole } from "./settings.ts";

export const mlx: QuantScheme = {
  name: "mlx",
  settings: ({ quantization, quantization_config: settings }) => {
    const own = isJsonObject(quantization) ? quantization : settings;
    const isOurs = isJsonObject(own) && own["quant_method"] === undefined && own["group_size"] !== undefined;
    return isOurs ? own : null;
  },
  parts: ["weight", "scales", "biases"],
  weight(weight, settings, refuse) {
    const codes = partOf(weight, "weight", refuse);
    if (!weight.parts.has("scales")) return null;
    const scales = partOf(weight, "scales", refuse);
    const own = isJsonObject(settings[weight.module])
      ? { ...settings, ...(settings[weight.module] as object) }
      : settings;
    const mode = (own as { mode?: unknown }).mode ?? "affine";
    if (mode !== "affine") throw refuse.unsupported(codes.name, `expected mode affine, got ${mode}`);
    const biases = partOf(weight, "biases", refuse);
    const size = whole(own, "group_size", 1);
    const bits = whole(own, "bits", 1);
    if (32 % bits !== 0) throw refuse.unsupported(codes.name, `expected 2, 4 or 8 bits, got ${bits}`);
    const [rows = 0, groups = 0] = scales.shape;
    const cols = groups * size;
    const words = (cols * bits) / 32;
    expectShape(codes, [rows, words], `for ${cols} inputs of ${bits} bits`, refuse);
    expectShape(biases, [rows, groups], "like its scales", refuse);
    const open = async () => {
      const [packed, scale, bias] = [
        await wordsOf(codes),
        await floatsOf(scales, refuse),
        await floatsOf(biases, refuse),
      ];
      const [perWord, mask] = [32 / bits, 2 ** bits - 1];
      const code = (row: number, input: number): number =>
        (packed[row * words + Math.floor(input / perWord)]! >>> (bits * (input % perWord))) & mask;
      return { code, scale, bias };
    };
    if (bits === 4 && isWholeBlocks(cols, size)) {
      return affineWeight([rows, cols], size, async () => {
        const { code, scale, bias } = await open();
        return (row, into) => {
          for (let i = 0; i < cols; i++) into.codes[i] = code(row, i);
          into.scales.set(scale.subarray(row * groups, (row + 1) * groups));
          into.minimums.set(bias.subarray(row * groups, (row + 1) * groups));
        };
      });
    }
    return roundedWeight([rows, cols], async () => {
      const { code, scale, bias } = await open();
      return (row, out) => {
        for (let i = 0; i < cols; i++) {
          const at = row * groups + Math.floor(i / size);
          out[i] = scale[at]! * code(row, i) + bias[at]!;
        }
      };
    });
  },
};
