/**
 * @file AWQ (arXiv 2306.00978) as AutoAWQ and GPTQModel save it, in the layouts of their kernels (`version`); 4 bits, and
 * value = scale · (code − zero).
 *
 * gemm: qweight I32 [inputs][outputs / 8], qzeros I32 [groups][outputs / 8], eight outputs a word in the order 0 2 4 6 1 3 5 7;
 * scales [groups][outputs].
 * gemv: qweight I32 [outputs][inputs / 8], qzeros I32 [outputs][width], neighbours in order; scales [outputs][width · 8], where
 * `width` words hold the groups and some more that are not used.
 * gemv_fast: qweight I16 [outputs / 4][inputs], see `fastCode`; scales and scaled_zeros, which are −scale · zero,
 * [width · 8][outputs].
 */
import { elements } from "../../weights/elements.ts";
import type { JsonObject } from "../json-file.ts";
import { expectShape, floatsOf, partOf, wordsOf } from "./parts.ts";
import { type IntegerCodes, integerKinds, integerWeight } from "./rows.ts";
import type { Part, QuantizedWeight, QuantScheme, Refuse } from "./scheme.ts";
import { expectFormat, ofMethod, whole } from "./settings.ts";

/** Codes of a word. */
const PER_WORD = 8;

interface Layout {
  readonly shape: readonly [rows: number, cols: number];
  /** Inputs of a group. */
  readonly size: number;
  open(): Promise<IntegerCodes>;
}

type Reader = (weight: QuantizedWeight, settings: JsonObject, refuse: Refuse) => Layout;

const LAYOUTS: Readonly<Record<string, Reader>> = { gemm, gemv, gemv_fast: gemvFast };

export const awq: QuantScheme = {
  name: "awq",
  kinds: integerKinds([4]),
  settings: ofMethod("awq"),
  plannedType: () => "q4",
  parts: ["qweight", "qzeros", "scales", "scaled_zeros"],
  weight(weight, settings, refuse) {
    const qweight = partOf(weight, "qweight", refuse);
    // Its files have four bits only; early ones call them w_bit.
    const bits = whole(
      settings,
      settings["bits"] === undefined && settings["w_bit"] !== undefined ? "w_bit" : "bits",
      1,
    );
    if (bits !== 4) throw refuse.unsupported(qweight.name, `expected 4 bits, got ${bits}`);
    const version = settings["version"] ?? settings["checkpoint_format"] ?? settings["format"] ?? "gemm";
    const name = String(version).toLowerCase();
    expectFormat(qweight, "version", name, Object.keys(LAYOUTS), refuse);
    const { shape, size, open } = LAYOUTS[name]!(weight, settings, refuse);
    return integerWeight({ shape, bits, size, open });
  },
};

function groupSize(settings: JsonObject, cols: number): number {
  const own = settings["group_size"] ?? settings["q_group_size"];
  return own === -1 ? cols : whole({ group_size: own }, "group_size", 1);
}

/** The place in its word of each of eight neighbouring outputs. */
const PLACES = [0, 4, 1, 5, 2, 6, 3, 7];

function gemm(weight: QuantizedWeight, settings: JsonObject, refuse: Refuse): Layout {
  const [qweight, qzeros, scales] = threeParts(weight, "qzeros", refuse);
  const [cols = 0] = qweight.shape;
  const [groups = 0, rows = 0] = scales.shape;
  const size = groupSize(settings, cols);
  const words = rows / PER_WORD;
  expectShape(qweight, [cols, words], `for ${rows} outputs of 4 bits`, refuse);
  expectShape(scales, [Math.ceil(cols / size), rows], `for ${cols} inputs in groups of ${size}`, refuse);
  expectShape(qzeros, [groups, words], `for ${groups} groups and ${rows} outputs of 4 bits`, refuse);
  return {
    shape: [rows, cols],
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
  };
}

function gemv(weight: QuantizedWeight, settings: JsonObject, refuse: Refuse): Layout {
  const [qweight, qzeros, scales] = threeParts(weight, "qzeros", refuse);
  const [rows = 0, words = 0] = qweight.shape;
  const cols = words * PER_WORD;
  const size = groupSize(settings, cols);
  const width = zeroWords(scales, cols, size, refuse);
  expectShape(scales, [rows, width * PER_WORD], `for ${cols} inputs in groups of ${size}`, refuse);
  expectShape(qzeros, [rows, width], `for ${cols} inputs in groups of ${size}`, refuse);
  return {
    shape: [rows, cols],
    size,
    async open() {
      const [codes, zeros, scale] = [await wordsOf(qweight), await wordsOf(qzeros), await floatsOf(scales, refuse)];
      const nibble = (from: Uint32Array, first: number, i: number): number =>
        (from[first + (i >> 3)]! >>> (4 * (i & 7))) & 15;
      const scaleAt = (row: number, group: number): number => scale[row * width * PER_WORD + group]!;
      return {
        code: (row, input) => nibble(codes, row * words, input),
        scale: scaleAt,
        minimum: (row, group) => -scaleAt(row, group) * nibble(zeros, row * width, group),
      };
    },
  };
}

/** Inputs whose codes of four outputs lie together. */
const STRIDE = 64;

function gemvFast(weight: QuantizedWeight, settings: JsonObject, refuse: Refuse): Layout {
  const [qweight, scaledZeros, scales] = threeParts(weight, "scaled_zeros", refuse);
  const [quads = 0, cols = 0] = qweight.shape;
  const rows = quads * 4;
  const size = groupSize(settings, cols);
  const width = zeroWords(scales, cols, size, refuse);
  if (qweight.stored !== "I16" || cols % STRIDE !== 0)
    throw refuse.invalid(qweight.name, `expected I16 of inputs by ${STRIDE}, got ${qweight.stored} [${qweight.shape}]`);
  for (const part of [scales, scaledZeros])
    expectShape(part, [width * PER_WORD, rows], `for ${rows} outputs, and ${cols} inputs in groups of ${size}`, refuse);
  return {
    shape: [rows, cols],
    size,
    async open() {
      const codes = elements(await qweight.read(), Uint16Array);
      const [scale, minimum] = [await floatsOf(scales, refuse), await floatsOf(scaledZeros, refuse)];
      return {
        code: (row, input) => fastCode(codes, cols, row, input),
        scale: (row, group) => scale[group * rows + row]!,
        minimum: (row, group) => minimum[group * rows + row]!,
      };
    },
  };
}

/**
 * Of four outputs and 64 inputs, 64 words: 16 an output, 8 of them for each half of the inputs. A word has the four inputs of a half that
 * are equal but for a multiple of 8.
 */
function fastCode(words: Uint16Array, cols: number, row: number, input: number): number {
  const block = (row >> 2) * cols + (input & -STRIDE);
  const word = (row & 3) * 16 + ((input >> 5) & 1) * 8 + (input & 7);
  return (words[block + word]! >>> (4 * ((input >> 3) & 3))) & 15;
}

/** Words for the zeros of a row: whole ones of groups, and as many as the kernels take at a time. */
function zeroWords(scales: Part, cols: number, size: number, refuse: Refuse): number {
  const multiple = size >= 128 ? 1 : { 64: 2, 32: 4 }[size];
  if (multiple === undefined || cols % size !== 0)
    throw refuse.unsupported(scales.name, `expected whole groups of 32, 64 or from 128 on, got ${cols} in ${size}`);
  return Math.ceil(Math.ceil(cols / size / PER_WORD) / multiple) * multiple;
}

const threeParts = (weight: QuantizedWeight, zeros: string, refuse: Refuse): [Part, Part, Part] => [
  partOf(weight, "qweight", refuse),
  partOf(weight, zeros, refuse),
  partOf(weight, "scales", refuse),
];
