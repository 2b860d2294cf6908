/**
 * @file GPTQ (arXiv 2210.17323) as AutoGPTQ and GPTQModel save it: codes packed along the inputs, zeros along the outputs. In
 * version 1 a zero is stored less one, and wraps around.
 *
 * qweight I32 [inputs · bits / 32][outputs] · qzeros I32 [groups][⌈outputs · bits / 32⌉] · scales [groups][outputs] ·
 * g_idx I32 [inputs]: the group of each input. value = scale · (code − zero)
 *
 * `dynamic` gives single weights other bits or groups; the shapes tell which.
 */
import { elements } from "../../weights/elements.ts";
import { isJsonObject, type JsonObject } from "../json-file.ts";
import { codeAt, packedWords } from "./codes.ts";
import { expectShape, floatsOf, partOf, wordsOf } from "./parts.ts";
import { integerKinds, integerWeight } from "./rows.ts";
import type { Part, QuantizedWeight, QuantScheme, ReadableWeight, Refuse } from "./scheme.ts";
import { expectFormat, ofMethod, typeOfBits, whole } from "./settings.ts";

const BITS = [2, 3, 4, 8];
const FORMATS = ["gptq", "gptq_v2"];

export const gptq: QuantScheme = {
  name: "gptq",
  kinds: integerKinds(BITS),
  settings: ofMethod("gptq"),
  plannedType: ({ bits }) => typeOfBits(bits),
  quantizes: ({ lm_head }) => ({ head: lm_head === true }),
  parts: ["qweight", "qzeros", "scales", "g_idx"],
  weight: gptqWeight,
};

async function gptqWeight(weight: QuantizedWeight, settings: JsonObject, refuse: Refuse): Promise<ReadableWeight> {
  const qweight = partOf(weight, "qweight", refuse);
  const qzeros = partOf(weight, "qzeros", refuse);
  const scales = partOf(weight, "scales", refuse);
  const order = weight.parts.get("g_idx");
  const format = settings["checkpoint_format"] ?? settings["format"] ?? "gptq";
  expectFormat(qweight, "checkpoint_format", format, FORMATS, refuse);
  const bits = bitsOf(qweight, order, settings, refuse);
  const [groups = 0, rows = 0] = scales.shape;
  const cols = order?.shape[0] ?? Math.floor(((qweight.shape[0] ?? 0) * 32) / bits);
  expectShape(
    qweight,
    [packedWords(cols, bits), rows],
    `for ${cols} inputs and ${rows} outputs of ${bits} bits`,
    refuse,
  );
  const zeroWords = packedWords(rows, bits);
  expectShape(qzeros, [groups, zeroWords], `for ${groups} groups and ${rows} outputs of ${bits} bits`, refuse);
  const size = groupSize(settings, cols, groups);
  if (groups !== Math.ceil(cols / size))
    throw refuse.invalid(scales.name, `expected ${Math.ceil(cols / size)} groups of ${size}, got ${groups}`);
  const groupsOf = async (): Promise<Int32Array | null> => {
    if (!order) return null;
    const own = elements(await order.read(), Int32Array);
    if (own.some((group) => group < 0 || group >= groups))
      throw refuse.invalid(order.name, `expected groups from 0 to ${groups - 1}, got others`);
    return own;
  };
  const isInOrder = (own: Int32Array | null): boolean =>
    own?.every((group, i) => group === Math.floor(i / size)) ?? true;
  // With desc_act the inputs may be out of order; then they have no common scale in blocks of neighbours.
  const isOutOfOrder = settings["desc_act"] === true && !isInOrder(await groupsOf());
  const [offset, mask] = [format === "gptq_v2" ? 0 : 1, 2 ** bits - 1];

  return integerWeight({
    shape: [rows, cols],
    bits,
    size,
    isOutOfOrder,
    async open() {
      const groupOf = await groupsOf();
      if (!isOutOfOrder && !isInOrder(groupOf))
        throw refuse.invalid(order!.name, "expected groups in order, as config.json has no desc_act, got others");
      const [codes, zeros, scale] = [await wordsOf(qweight), await wordsOf(qzeros), await floatsOf(scales, refuse)];
      const zero = (row: number, group: number): number =>
        (codeAt(zeros, group * zeroWords, 1, bits, row) + offset) & mask;
      return {
        groupOf,
        code: (row, input) => codeAt(codes, row, rows, bits, input),
        scale: (row, group) => scale[group * rows + row]!,
        minimum: (row, group) => -scale[group * rows + row]! * zero(row, group),
      };
    },
  });
}

/** Bits and group sizes that `dynamic` gives to single weights, by patterns of their names. */
const overrides = ({ dynamic }: JsonObject): JsonObject[] =>
  isJsonObject(dynamic) ? Object.values(dynamic).filter(isJsonObject) : [];

/** The bits of config.json, or those of `dynamic` that fit the shape. */
function bitsOf(qweight: Part, order: Part | undefined, settings: JsonObject, refuse: Refuse): number {
  const bits = whole(settings, "bits", 1);
  const choices = [
    bits,
    ...overrides(settings).flatMap((own) => (own["bits"] === undefined ? [] : [Number(own["bits"])])),
  ];
  const odd = choices.find((choice) => !BITS.includes(choice));
  if (odd !== undefined) throw refuse.unsupported(qweight.name, `expected ${BITS.join(", ")} bits, got ${odd}`);
  const inputs = order?.shape[0];
  return choices.find((choice) => inputs !== undefined && packedWords(inputs, choice) === qweight.shape[0]) ?? bits;
}

function groupSize(settings: JsonObject, cols: number, groups: number): number {
  const sizes = [settings, ...overrides(settings).filter((own) => own["group_size"] !== undefined)].map((own) =>
    own["group_size"] === -1 ? cols : whole(own, "group_size", 1),
  );
  return sizes.find((size) => Math.ceil(cols / size) === groups) ?? sizes[0]!;
}
