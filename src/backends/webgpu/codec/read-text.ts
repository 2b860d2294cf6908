/**
 * @file WGSL that reads codes where they lie. For a side `k` or `v` (or `x`, the 16-bit copies) it gives
 *
 * `k_unit(page, head, row, unit, lane)`: eight neighbouring coordinates as four pairs, codes as centroids of norm √headDim ·
 * `k_scale(page, head, row)`: the factor of the row · `k_block(page, head, row, unit)`: the factor of the unit.
 *
 * Codes are looked up in a table `lut` in workgroup memory: two at a time as f16 if they have up to five bits, else singly.
 */
import { getCodebook } from "../../../quant/codebook.ts";
import type { SideFormat } from "../../../quant/kv-format.ts";
import { codeBits, planeWidths, type Region, type SideLayout } from "../../../quant/page-layout.ts";
import { TRELLIS_VALUES } from "../../../quant/trellis.ts";
import { floatText } from "../queue/shader-text.ts";
import { beforeText, hasPairs, pairTexts, type UnitWord } from "./code-words.ts";

export interface SideReader {
  /** WGSL functions. */
  readonly text: string;
  /** Entries of its table of one copy; 0 for types without a codebook. */
  readonly entries: number;
  /** Statement that gives entry `e` of the table from `centroids[AT + …]`. */
  readonly entryText: (centroidsAt: number) => string;
  /** Values come in blocks with a scale each. */
  readonly hasBlocks: boolean;
}

export interface ReaderOptions {
  /** Name of the functions. */
  readonly name: string;
  /** Array of u32 the pages are in. */
  readonly pages: string;
  /** Pairs are vec2<f16>, else vec2<f32>. */
  readonly f16: boolean;
  readonly headDim: number;
  /** First entry of its table in `lut`, in entries. */
  readonly tableAt: number;
}

const byteAt = (r: Region, unitBytes: number): string =>
  `page + ${r.offset}u + head * ${r.headStride}u + row * ${r.rowBytes}u + unit * ${unitBytes}u`;

/** What kernels and labels call a side by: sides of one name are read alike. */
export const sideName = ({ type, trellis }: SideFormat): string => (trellis ? `${type} trellis` : type);

/** What codes stand for, in vectors of norm √headDim. */
export function sideCentroids(side: SideFormat, headDim: number): Float32Array {
  if (!side.type.startsWith("tq")) return new Float32Array(0);
  return side.trellis ? TRELLIS_VALUES : getCodebook(headDim, codeBits(side.type)).scaled;
}

export function tableEntries(side: SideFormat, half: boolean): number {
  if (!side.type.startsWith("tq")) return 0;
  // With the code before: a value by four bits, two values by six.
  if (side.trellis) return half ? 64 : 16;
  const bits = codeBits(side.type);
  return hasPairs(bits, half) ? 4 ** bits : 2 ** bits;
}

function codesText(o: ReaderOptions, side: SideFormat, layout: SideLayout, bits: number): string {
  const widths = planeWidths(bits);
  const lines: string[] = [];
  const words: UnitWord[] = [];
  for (const [i, width] of widths.entries()) {
    const at = `b${i}`;
    lines.push(`  let ${at} = ${byteAt(layout.planes[i]!, width)};`);
    if (width === 8)
      lines.push(`  let w${i} = ${o.pages}[${at} >> 2u];`, `  let u${i} = ${o.pages}[(${at} >> 2u) + 1u];`);
    else if (width === 4) lines.push(`  let w${i} = ${o.pages}[${at} >> 2u];`);
    else lines.push(`  let w${i} = ${o.pages}[${at} >> 2u] >> ((${at} & 3u) * 8u);`);
    if (side.trellis) lines.push(`  let before = ${beforeText(o.pages, at, "unit")};`);
    words.push({
      low: `w${i}`,
      high: `u${i}`,
      shift: 0,
      ...(side.trellis && { before: { word: "before", shift: 0 } }),
    });
  }
  const use = { half: o.f16, tableAt: o.tableAt, copies: 1, copy: "0u", trellis: side.trellis };
  const pairs = pairTexts(use, bits, words);
  return `${lines.join("\n")}\n  return array<${v2(o)}, 4>(\n    ${pairs.join(",\n    ")},\n  );`;
}

const v2 = (o: ReaderOptions): string => `vec2<${o.f16 ? "f16" : "f32"}>`;

function floatsText(o: ReaderOptions, layout: SideLayout): string {
  const plane = layout.planes[0]!;
  const at = `  let at = (${byteAt(plane, plane.width)}) >> 2u;`;
  const pairs = [0, 1, 2, 3].map((i) =>
    plane.width === 32
      ? `vec2f(bitcast<f32>(${o.pages}[at + ${2 * i}u]), bitcast<f32>(${o.pages}[at + ${2 * i + 1}u]))`
      : `unpack2x16float(${o.pages}[at + ${i}u])`,
  );
  return `${at}\n  return array<vec2f, 4>(\n    ${pairs.join(",\n    ")},\n  );`;
}

function blocksText(o: ReaderOptions, layout: SideLayout, isQ8: boolean): string {
  const at = `  let at = (${byteAt(layout.planes[0]!, isQ8 ? 8 : 4)}) >> 2u;`;
  const value = (i: number): string =>
    isQ8
      ? `f32((${o.pages}[at + ${i >> 2}u] >> ${(8 * i) % 32}u) & 255u) - 128.0`
      : `f32((${o.pages}[at] >> ${4 * i}u) & 15u) - 8.0`;
  const pairs = [0, 1, 2, 3].map((i) => `vec2f(${value(2 * i)}, ${value(2 * i + 1)})`);
  return `${at}\n  return array<vec2f, 4>(\n    ${pairs.join(",\n    ")},\n  );`;
}

/** f16 at a byte offset that is even. */
const halfText = (pages: string, at: string): string =>
  `unpack2x16float(${pages}[(${at}) >> 2u] >> (((${at}) & 2u) * 8u)).x`;

export function sideReader(o: ReaderOptions, side: SideFormat, layout: SideLayout): SideReader {
  const bits = codeBits(side.type);
  const isBlocks = side.type === "q8_0" || side.type === "q4_0r";
  const isCodes = side.type.startsWith("tq");
  const body = isCodes
    ? codesText(o, side, layout, bits)
    : isBlocks
      ? blocksText(o, layout, side.type === "q8_0")
      : floatsText(o, layout);
  const scale = isCodes
    ? `let at = page + ${layout.scales!.offset}u + head * ${layout.scales!.headStride}u + row * 2u;\n  return ${halfText(o.pages, "at")} * ${floatText(1 / Math.sqrt(o.headDim))};`
    : "return 1.0;";
  const block = isBlocks
    ? `let at = page + ${layout.scales!.offset}u + head * ${layout.scales!.headStride}u + row * ${layout.scales!.rowBytes}u + unit / 4u * 2u;\n  return ${halfText(o.pages, "at")};`
    : "return 1.0;";
  return {
    text: `
fn ${o.name}_unit(page: u32, head: u32, row: u32, unit: u32, lane: u32) -> array<${v2(o)}, 4> {
${body}
}
fn ${o.name}_scale(page: u32, head: u32, row: u32) -> f32 {
  ${scale}
}
fn ${o.name}_block(page: u32, head: u32, row: u32, unit: u32) -> f32 {
  ${block}
}`,
    entries: tableEntries(side, o.f16),
    entryText: (at) => (isCodes ? entryText(side, o.f16, at) : "0u"),
    hasBlocks: isBlocks,
  };
}

/** The word of entry `e` of a side's table; its centroids begin at `at`. */
export function entryText(side: SideFormat, half: boolean, at: number): string {
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
