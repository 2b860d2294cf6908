/**
 * @file GPTQ (arXiv 2210.17323) as AutoGPTQ and GPTQModel save it: codes packed along the inputs, zeros along the outputs. In
 * version 1 a zero is stored less one.
 *
 * qweight I32 [inputs · bits / 32][outputs] · qzeros I32 [groups][outputs · bits / 32] · scales [groups][outputs] ·
 * g_idx I32 [inputs]: the group of each input. value = scale · (code − zero)
 */
import { elements } from "../../weights/elements.ts";
import { expectShape, floatsOf, partOf, wordsOf } from "./parts.ts";
import { affineWeight, isWholeBlocks, roundedWeight } from "./rows.ts";
import type { QuantScheme } from "./scheme.ts";
import { ofMethod, whole } from "./settings.ts";

const BITS = [2, 4, 8];

export const gptq: QuantScheme = {
  name: "gptq",
  settings: ofMethod("gptq"),
  parts: ["qweight", "qzeros", "scales", "g_idx"],
  weight(weight, settings, refuse) {
    const [qweight, qzeros, scales] = ["qweight", "qzeros", "scales"].map((name) => partOf(weight, name, refuse)) as [
      ReturnType<typeof partOf>,
      ReturnType<typeof partOf>,
      ReturnType<typeof partOf>,
    ];
    const bits = whole(settings, "bits", 1);
    if (!BITS.includes(bits)) throw refuse.unsupported(qweight.name, `expected ${BITS.join(", ")} bits, got ${bits}`);
    const perWord = 32 / bits;
    const [groups = 0, rows = 0] = scales.shape;
    const order = weight.parts.get("g_idx");
    const cols = order?.shape[0] ?? (qweight.shape[0] ?? 0) * perWord;
    const size = settings["group_size"] === -1 ? cols : whole(settings, "group_size", 1);
    expectShape(qweight, [cols / perWord, rows], `for ${cols} inputs and ${rows} outputs of ${bits} bits`, refuse);
    expectShape(
      qzeros,
      [groups, Math.ceil(rows / perWord)],
      `for ${groups} groups and ${rows} outputs of ${bits} bits`,
      refuse,
    );
    if (groups !== Math.ceil(cols / size))
      throw refuse.invalid(scales.name, `expected ${Math.ceil(cols / size)} groups of ${size}, got ${groups}`);
    const offset = settings["checkpoint_format"] === "gptq_v2" ? 0 : 1;
    const mask = 2 ** bits - 1;

    const open = async () => {
      const [codes, zeros, scale] = [await wordsOf(qweight), await wordsOf(qzeros), await floatsOf(scales, refuse)];
      const groupOf = order
        ? elements(await order.read(), Int32Array)
        : Int32Array.from({ length: cols }, (_, i) => Math.floor(i / size));
      if (groupOf.some((group) => group < 0 || group >= groups)) {
        throw refuse.invalid(order!.name, `expected groups from 0 to ${groups - 1}, got others`);
      }
      const zeroWords = Math.ceil(rows / perWord);
      return {
        groupOf,
        code: (row: number, input: number): number =>
          (codes[Math.floor(input / perWord) * rows + row]! >>> (bits * (input % perWord))) & mask,
        zero: (row: number, group: number): number =>
          ((zeros[group * zeroWords + Math.floor(row / perWord)]! >>> (bits * (row % perWord))) & mask) + offset,
        scale: (row: number, group: number): number => scale[group * rows + row]!,
      };
    };
    // Inputs out of order (desc_act) have no common scale in blocks of neighbours.
    if (bits === 4 && isWholeBlocks(cols, size) && settings["desc_act"] !== true) {
      return affineWeight([rows, cols], size, async () => {
        const { code, zero, scale, groupOf } = await open();
        if (groupOf.some((group, i) => group !== Math.floor(i / size))) {
          throw refuse.invalid(order!.name, "expected groups in order, as config.json has no desc_act, got others");
        }
        return (row, into) => {
          for (let i = 0; i < cols; i++) into.codes[i] = code(row, i);
          for (let g = 0; g < groups; g++) {
            into.scales[g] = scale(row, g);
            into.minimums[g] = -scale(row, g) * zero(row, g);
          }
        };
      });
    }
    return roundedWeight([rows, cols], async () => {
      const { code, zero, scale, groupOf } = await open();
      return (row, out) => {
        for (let i = 0; i < cols; i++) out[i] = scale(row, groupOf[i]!) * (code(row, i) - zero(row, groupOf[i]!));
      };
    });
  },
};
