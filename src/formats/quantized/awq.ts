/**
 * @file AWQ (arXiv 2306.00978) as AutoAWQ saves it. Version `gemm`: eight outputs a word, in the order 0 2 4 6 1 3 5 7.
 *
 * qweight I32 [inputs][outputs / 8] · qzeros I32 [groups][outputs / 8] · scales [groups][outputs].
 * value = scale · (code − zero)
 */
import { expectShape, floatsOf, partOf, wordsOf } from "./parts.ts";
import { integerKinds, integerWeight } from "./rows.ts";
import type { QuantScheme } from "./scheme.ts";
import { expectFormat, ofMethod, whole } from "./settings.ts";

/** The place in its word of each of eight neighbouring outputs. */
const PLACES = [0, 4, 1, 5, 2, 6, 3, 7];

export const awq: QuantScheme = {
  name: "awq",
  kinds: integerKinds([4]),
  settings: ofMethod("awq"),
  parts: ["qweight", "qzeros", "scales"],
  weight(weight, settings, refuse) {
    const qweight = partOf(weight, "qweight", refuse);
    const qzeros = partOf(weight, "qzeros", refuse);
    const scales = partOf(weight, "scales", refuse);
    // Its files have four bits only; early ones call them w_bit.
    const bits = whole(
      settings,
      settings["bits"] === undefined && settings["w_bit"] !== undefined ? "w_bit" : "bits",
      1,
    );
    if (bits !== 4) throw refuse.unsupported(qweight.name, `expected 4 bits, got ${bits}`);
    expectFormat(qweight, "version", String(settings["version"] ?? "gemm").toLowerCase(), ["gemm"], refuse);
    const [cols = 0] = qweight.shape;
    const [groups = 0, rows = 0] = scales.shape;
    const own = settings["group_size"] ?? settings["q_group_size"];
    const size = own === -1 ? cols : whole({ group_size: own }, "group_size", 1);
    expectShape(qweight, [cols, rows / 8], `for ${rows} outputs of 4 bits`, refuse);
    expectShape(scales, [Math.ceil(cols / size), rows], `for ${cols} inputs in groups of ${size}`, refuse);
    expectShape(qzeros, [groups, rows / 8], `for ${groups} groups and ${rows} outputs of 4 bits`, refuse);
    const words = rows / 8;
    return integerWeight({
      shape: [rows, cols],
      bits,
      size,
      async open() {
        const [codes, zeros, scale] = [await wordsOf(qweight), await wordsOf(qzeros), await floatsOf(scales, refuse)];
        const nibble = (from: Uint32Array, line: number, row: number): number =>
          (from[line * words + (row >> 3)]! >>> (4 * PLACES[row & 7]!)) & 15;
        return {
          code: (row, input) => nibble(codes, input, row),
          scale: (row, group) => scale[group * rows + row]!,
          minimum: (row, group) => -scale[group * rows + row]! * nibble(zeros, group, row),
        };
      },
    });
  },
};
