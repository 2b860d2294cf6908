/** @file WGSL that says where a row of a page is, and reads the f16 of its scales. */
import type { Region } from "../../../quant/page-regions.ts";

/** Names of the arrays that a page is bound as: one of u32, and one of vec4u for reading 16 bytes at a time. */
export interface PageArrays {
  readonly words: string;
  readonly quads: string;
}

/** WGSL expressions for the place of a row: the page in bytes, the KV head, the row. */
export interface RowPlace {
  readonly page: string;
  readonly head: string;
  readonly row: string;
}

/** The word at index `at` of an array of u32, or of one of vec4u, whose name ends in 4. */
export const wordText = (array: string, at: string): string =>
  array.endsWith("4") ? `${array}[(${at}) >> 2u][(${at}) & 3u]` : `${array}[${at}]`;

/** Byte offset of a row in a region. */
export const rowText = (r: Region, { page, head, row }: RowPlace): string =>
  `${page} + ${r.offset}u + ${head} * ${r.headStride}u + (${row}) * ${r.rowBytes}u`;

/** The f16 of a row in a region of scales. extra: further bytes, an even number */
export function halfText(words: string, region: Region, place: RowPlace, extra = ""): string {
  const at = `(${rowText(region, place)}${extra})`;
  return `unpack2x16float(${wordText(words, `${at} >> 2u`)} >> ((${at} & 2u) * 8u)).x`;
}
