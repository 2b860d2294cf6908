/**
 * @file AWQ (arXiv 2306.00978) as AutoAWQ saves it in its `gemm` version: eight outputs a word, in the order 0 2 4 6 1 3 5 7.
 *
 * qweight I32 [inputs][outputs / 8] · qzeros I32 [groups][outputs / 8] · scales [groups][outputs].
 * value = scale · (code − zero)
 */
import { expectShape, floatsOf, partOf, wordsOf } from "./parts.ts";
import { affineWeight, isWholeBlocks, roundedWeight } from "./rows.ts";
import type { QuantScheme } from "./scheme.ts";
import { ofMethod, whole } from "./settings.ts";

/** The place in its word of each of eight neighbouring outputs. */
const PLACES = [0, 4, 1, 5, 2, 6, 3, 7];

export const awq: QuantScheme = {
  name: "awq",
  settings: ofMethod("awq"),
  parts: ["qweight", "qzeros", "scales"],
  weight(weight, settings, refuse) {
    const qweight = partOf(weight, "qweight", refuse);
    const qzeros = partOf(weight, "qzeros", refuse);
    const scales = partOf(weight, "scales", refuse);
    const bits = whole(settings, "bits", 1);
    if (bits !== 4) throw refuse.unsupported(qweight.name, `expected 4 bits, got ${bits}`);
    const version = settings["version"] ?? "gemm";
    if (String(version).toLowerCase() !== "gemm")
      throw refuse.unsupported(qweight.name, `expected version gemm, got ${version}`);
    const [cols = 0] = qweight.shape;
    const [groups = 0, rows = 0] = scales.shape;
    const size = settings["group_size"] === -1 ? cols : whole(settings, "group_size", 1);
    expectShape(qweight, [cols, rows / 8], `for ${rows} outputs of 4 bits`, refuse);
    expectShape(scales, [Math.ceil(cols / size), rows], `for ${cols} inputs in groups of ${size}`, refuse);
    expectShape(qzeros, [groups, rows / 8], `for ${groups} groups and ${rows} outputs of 4 bits`, refuse);
    const words = rows / 8;
    const open = async () => {
      const [codes, zeros, scale] = [await wordsOf(qweight), await wordsOf(qzeros), await floatsOf(scales, refuse)];
      const nibble = (from: Uint32Array, line: number, row: number): number =>
        (from[line * words + (row >> 3)]! >>> (4 * PLACES[row & 7]!)) & 15;
      return {
        code: (row: number, input: number): number => nibble(codes, input, row),
        zero: (row: number, group: number): number => nibble(zeros, group, row),
        scale: (row: number, group: number): number => scale[group * rows + row]!,
      };
    };
    if (!isWholeBlocks(cols, size)) {
      return roundedWeight([rows, cols], async () => {
        const { code, zero, scale } = await open();
        return (row, out) => {
          for (let i = 0; i < cols; i++) {
            const group = Math.floor(i / size);
            out[i] = scale(row, group) * (code(row, i) - zero(row, group));
          }
        };
      });
    }
    return affineWeight([rows, cols], size, async () => {
      const { code, zero, scale } = await open();
      return (row, into) => {
        for (let i = 0; i < cols; i++) into.codes[i] = code(row, i);
        for (let g = 0; g < groups; g++) {
          into.scales[g] = scale(row, g);
          into.minimums[g] = -scale(row, g) * zero(row, g);
        }
      };
    });
  },
};
