/**
 * @file WGSL that looks codes up: tables of centroids in workgroup memory (`lut`), and the expressions that take codes out of
 * words and find their values. A table holds pairs of centroids as f16 if codes have up to five bits, else single ones.
 */
import { getCodebook } from "../../../quant/codebook.ts";
import type { SideFormat } from "../../../quant/kv-format.ts";
import { codeBits, planeWidths } from "../../../quant/page-layout.ts";
import { kindOf } from "../../../quant/side-kind.ts";
import { TRELLIS_VALUES } from "../../../quant/trellis.ts";

/** Up to this many bits, two codes can index the table together. */
const PAIR_BITS = 5;
/** Whether a word of the table is a pair of centroids as f16. f32 kernels keep them whole, one a word. */
const hasPairs = (bits: number, half: boolean): boolean => half && bits <= PAIR_BITS;

/** A plane's bits of one unit of eight codes: `low` from bit `shift` on; `high` holds the last four codes of 8 bits. */
export interface UnitWord {
  readonly low: string;
  readonly shift: number;
  readonly high?: string;
  /** Trellis: bits that hold the code before. Without them it lies below `shift`, or is 0 where that is 0. */
  readonly before?: { readonly word: string; readonly shift: number };
}

export interface TableUse {
  /** Pairs are vec2<f16>, else vec2<f32>. */
  readonly half: boolean;
  /** First entry of the table in `lut`. */
  readonly tableAt: number;
  /** Copies of the table that lie interleaved, and the name of the byte offset of the one that this invocation reads. */
  readonly copies: number;
  readonly copy: string;
  /** A code chooses its value together with the one before it. */
  readonly trellis?: boolean | undefined;
}

/** Bits `[shift, shift + width)` of a word, moved to bit `to`. */
export function fieldText(word: string, shift: number, width: number, to: number): string {
  const moved = shift > to ? `(${word} >> ${shift - to}u)` : shift < to ? `(${word} << ${to - shift}u)` : word;
  return `(${moved} & ${((2 ** width - 1) * 2 ** to) >>> 0}u)`;
}

/** `count` codes of a trellis from the unit's `first` on, with the one before them: neighbouring bits. */
function chainFields({ low, shift, before }: UnitWord, first: number, count: number, to: number): string[] {
  if (shift + first > 0) return [fieldText(low, shift + 2 * first - 2, 2 * count + 2, to)];
  const codes = fieldText(low, 0, 2 * count, to + 2);
  return before ? [codes, fieldText(before.word, before.shift, 2, to)] : [codes];
}

/** Four pairs of centroids of a unit whose planes are `words`. */
export function pairTexts(use: TableUse, bits: number, words: readonly UnitWord[]): string[] {
  const widths = planeWidths(bits);
  // Counted in bytes, which is what a compiler makes of it: shifts to a word and back would be two more.
  const scale = Math.log2(use.copies) + 2;
  const copy = use.copies > 1 ? ` | ${use.copy}` : "";
  const entry = (fields: readonly string[]): string =>
    `lut[${use.tableAt > 0 ? `${use.tableAt * use.copies}u + ` : ""}((${fields.join(" | ")}${copy}) >> 2u)]`;
  // Of `count` codes from the unit's `first` on.
  const fields = (first: number, count: 1 | 2): string[] => {
    if (use.trellis) return chainFields(words[0]!, first, count, scale);
    let to = count * bits;
    return widths.map((width, w) => {
      to -= count * width;
      const { low, high, shift } = words[w]!;
      const isHigh = width === 8 && first >= 4;
      const from = isHigh ? width * (first - 4) : shift + width * first;
      return fieldText(isHigh ? high! : low, from, count * width, to + scale);
    });
  };
  const single = (i: number): string => {
    const value = `bitcast<f32>(${entry(fields(i, 1))})`;
    return use.half ? `f16(${value})` : value;
  };
  return [0, 2, 4, 6].map((i) =>
    hasPairs(bits, use.half)
      ? `bitcast<vec2<f16>>(${entry(fields(i, 2))})`
      : `vec2<${use.half ? "f16" : "f32"}>(${single(i)}, ${single(i + 1)})`,
  );
}

/** What kernels and labels call a side by: sides of one name are read alike. */
export const sideName = ({ type, trellis }: SideFormat): string => (trellis ? `${type} trellis` : type);

/** What codes stand for, in vectors of norm √headDim. */
export function sideCentroids(side: SideFormat, headDim: number): Float32Array {
  if (kindOf(side.type) !== "scalar") return new Float32Array(0);
  return side.trellis ? TRELLIS_VALUES : getCodebook(headDim, codeBits(side.type)).scaled;
}

function tableEntries(side: SideFormat, half: boolean): number {
  if (kindOf(side.type) !== "scalar") return 0;
  // With the code before: a value by four bits, two values by six.
  if (side.trellis) return half ? 64 : 16;
  const bits = codeBits(side.type);
  return hasPairs(bits, half) ? 4 ** bits : 2 ** bits;
}

/** The word of entry `e` of a side's table; its centroids begin at `at`. */
function entryText(side: SideFormat, half: boolean, at: number): string {
  if (side.trellis && half) {
    return `pack2x16float(vec2f(centroids[${at}u + (e & 15u)], centroids[${at}u + (e >> 2u)]))`;
  }
  const bits = codeBits(side.type);
  if (!hasPairs(bits, half)) return `bitcast<u32>(centroids[${at}u + e])`;
  const code = (second: boolean): string => {
    let shift = 2 * bits;
    let low = bits;
    const parts = planeWidths(bits).map((width) => {
      shift -= 2 * width;
      low -= width;
      return `(((e >> ${shift + (second ? width : 0)}u) & ${2 ** width - 1}u) << ${low}u)`;
    });
    return parts.join(" | ");
  };
  return `pack2x16float(vec2f(centroids[${at}u + (${code(false)})], centroids[${at}u + (${code(true)})]))`;
}

/** The tables of both sides in one `lut`: V's begins at entry `vAt`, and is K's where both are read alike. */
export interface SideTables {
  readonly tables: readonly { readonly at: number; readonly entries: number; readonly word: string }[];
  readonly vAt: number;
  /** Words of one copy. */
  readonly entries: number;
}

/** half: whether pairs of K, and of V, are looked up as f16 · centroidsAt: where theirs begin in `centroids` */
export function sideTables(
  { k, v }: { readonly k: SideFormat; readonly v: SideFormat },
  half: { readonly k: boolean; readonly v: boolean },
  centroidsAt: { readonly k: number; readonly v: number },
): SideTables {
  const kEntries = tableEntries(k, half.k);
  const isShared = sideName(k) === sideName(v);
  const vAt = isShared ? 0 : kEntries;
  const vEntries = tableEntries(v, half.v);
  const tables = [
    ...(kEntries > 0 ? [{ at: 0, entries: kEntries, word: entryText(k, half.k, centroidsAt.k) }] : []),
    ...(vEntries > 0 && !isShared ? [{ at: vAt, entries: vEntries, word: entryText(v, half.v, centroidsAt.v) }] : []),
  ];
  return { tables, vAt, entries: vAt + vEntries };
}

/**
 * Statements that fill `lut`. With several copies an invocation writes those of its entries in an order in which neighbours
 * hit other banks, and `copy` is the byte offset of the one it will read.
 */
export function tablesText({ tables }: SideTables, copies: number): string {
  const fill = (at: number): string =>
    copies === 1
      ? `lut[${at}u + e] = word;`
      : `for (var c = 0u; c < ${copies}u; c++) {
lut[(${at}u + e) * ${copies}u + ((c + l) & ${copies - 1}u)] = word;
}`;
  return [
    ...(tables.length > 0 ? ["// Tables of centroids."] : []),
    ...(copies > 1 ? [`let copy = (l & ${copies - 1}u) * 4u;`] : []),
    ...tables.map(
      ({ at, entries, word }) =>
        `for (var e = l; e < ${entries}u; e += THREADS) {\nlet word = ${word};\n${fill(at)}\n}`,
    ),
  ].join("\n");
}
