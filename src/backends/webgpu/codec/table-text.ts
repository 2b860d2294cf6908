/**
 * @file WGSL that looks codes up: tables of centroids in workgroup memory (`lut`), and expressions that extract codes from words
 * and find their values. If codes have at most five bits, a table entry is a pair of f16 centroids, otherwise a single centroid.
 */
import { planeWidths } from "../../../quant/bit-pack.ts";

/** Up to this many bits, two codes together can index the table. */
const PAIR_BITS = 5;
/** Whether a word of the table is a pair of f16 centroids. f32 kernels store one centroid in a word. */
export const hasPairs = (bits: number, half: boolean): boolean => half && bits <= PAIR_BITS;

/** A plane's bits for one unit of eight codes: `low` from bit `shift` on; with 8 bits, `high` holds the last four codes. */
export interface UnitWord {
  readonly low: string;
  readonly shift: number;
  readonly high?: string;
  /** Where a chain has the code before these. Without this, that code lies below `shift`, or is 0 where `shift` is 0. */
  readonly before?: { readonly word: string; readonly shift: number };
}

export interface TableUse {
  /** Pairs are vec2<f16>, otherwise vec2<f32>. */
  readonly half: boolean;
  /** First entry of the table in `lut`. */
  readonly tableAt: number;
  /** Number of interleaved copies of the table, and the name of the byte offset of the copy that this invocation reads. */
  readonly copies: number;
  readonly copy: string;
}

/** Bits `[shift, shift + width)` of a word, moved to bit `to`. */
export function fieldText(word: string, shift: number, width: number, to: number): string {
  const moved = shift > to ? `(${word} >> ${shift - to}u)` : shift < to ? `(${word} << ${to - shift}u)` : word;
  return `(${moved} & ${((2 ** width - 1) * 2 ** to) >>> 0}u)`;
}

/** Expressions whose bits together are `count` codes of a unit, from its `first` on, moved to bit `to`. */
export type CodeFields = (first: number, count: 1 | 2, to: number) => readonly string[];

/** Codes of a unit whose planes are `words`. Of two codes the first is in the high bits. */
export const planeFields =
  (bits: number, words: readonly UnitWord[]): CodeFields =>
  (first, count, start) => {
    let to = count * bits + start;
    return planeWidths(bits).map((width, w) => {
      to -= count * width;
      const { low, high, shift } = words[w]!;
      const isHigh = width === 8 && first >= 4;
      const from = isHigh ? width * (first - 4) : shift + width * first;
      return fieldText(isHigh ? high! : low, from, count * width, to);
    });
  };

/** Four pairs of centroids of a unit that are looked up by its codes. */
export function pairTexts(use: TableUse, bits: number, fields: CodeFields): string[] {
  // Offsets are in bytes, as compilers use them; converting to words and back would take two more shifts.
  const scale = Math.log2(use.copies) + 2;
  const copy = use.copies > 1 ? ` | ${use.copy}` : "";
  const entry = (first: number, count: 1 | 2): string =>
    `lut[${use.tableAt > 0 ? `${use.tableAt * use.copies}u + ` : ""}((${fields(first, count, scale).join(" | ")}${copy}) >> 2u)]`;
  const single = (i: number): string => {
    const value = `bitcast<f32>(${entry(i, 1)})`;
    return use.half ? `f16(${value})` : value;
  };
  return [0, 2, 4, 6].map((i) =>
    hasPairs(bits, use.half)
      ? `bitcast<vec2<f16>>(${entry(i, 2)})`
      : `vec2<${use.half ? "f16" : "f32"}>(${single(i)}, ${single(i + 1)})`,
  );
}
