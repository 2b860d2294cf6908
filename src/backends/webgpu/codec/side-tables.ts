/** @file Tables of centroids in workgroup memory (`lut`), of both sides of a layer. */
import { nameOf, type SideFormat } from "../../../quant/codecs/registry.ts";
import type { PageRegions } from "../../../quant/page-regions.ts";
import { wgslCodecs } from "./registry.ts";

/** What the codes of a side stand for, in vectors of norm √headDim; empty where nothing is looked up. */
export function sideCentroids(side: SideFormat, headDim: number): Float32Array {
  return wgslCodecs.of(side).book?.centroids(side, headDim) ?? new Float32Array(0);
}

/** The tables of both sides in one `lut`. V's begins at entry `vAt`; it is K's if both are read in the same way. */
export interface SideTables {
  readonly tables: readonly { readonly at: number; readonly entries: number; readonly word: string }[];
  readonly vAt: number;
  /** Words in one copy. */
  readonly entries: number;
}

/** half: whether pairs of K, and of V, are looked up as f16 · centroidsAt: where their centroids begin in `centroids` */
export function sideTables(
  { k, v }: { readonly k: SideFormat; readonly v: SideFormat },
  half: { readonly k: boolean; readonly v: boolean },
  centroidsAt: { readonly k: number; readonly v: number },
  { headDim, valueDim }: Pick<PageRegions, "headDim" | "valueDim">,
): SideTables {
  const [kBook, vBook] = [wgslCodecs.of(k).book, wgslCodecs.of(v).book];
  const kEntries = kBook?.entries(k, half.k) ?? 0;
  // Centroids depend on the length of the vectors.
  const isShared = nameOf(k) === nameOf(v) && headDim === valueDim;
  const vAt = isShared ? 0 : kEntries;
  const vEntries = vBook?.entries(v, half.v) ?? 0;
  const tables = [
    ...(kBook ? [{ at: 0, entries: kEntries, word: kBook.entryText(k, half.k, centroidsAt.k) }] : []),
    ...(vBook && !isShared ? [{ at: vAt, entries: vEntries, word: vBook.entryText(v, half.v, centroidsAt.v) }] : []),
  ];
  return { tables, vAt, entries: vAt + vEntries };
}

/** The second tables behind the first ones. returns: them, and the entry at which the second begin */
export function joinTables(first: SideTables, second: SideTables): SideTables & { readonly secondAt: number } {
  const secondAt = first.entries;
  const moved = second.tables.map((table) => ({ ...table, at: table.at + secondAt }));
  return { ...first, tables: [...first.tables, ...moved], entries: secondAt + second.entries, secondAt };
}

/**
 * Statements that fill `lut`. With several copies, neighbouring invocations write to different banks, and `copy` is the byte
 * offset of the copy that an invocation will read. ofWindow: tables of sinks and window, for workgroups that read nothing else
 */
export function tablesText({ tables }: SideTables, copies: number, ofWindow: SideTables | null = null): string {
  const fill = (at: number): string =>
    copies === 1
      ? `lut[${at}u + e] = word;`
      : `for (var c = 0u; c < ${copies}u; c++) {
lut[(${at}u + e) * ${copies}u + ((c + l) & ${copies - 1}u)] = word;
}`;
  const loops = (of: SideTables["tables"]): string[] =>
    of.map(
      ({ at, entries, word }) =>
        `for (var e = l; e < ${entries}u; e += THREADS) {\nlet word = ${word};\n${fill(at)}\n}`,
    );
  return [
    ...(tables.length > 0 ? ["// Tables of centroids."] : []),
    ...(copies > 1 ? [`let copy = (l & ${copies - 1}u) * 4u;`] : []),
    ...(ofWindow
      ? ["if (is_residual) {", ...loops(ofWindow.tables), "} else {", ...loops(tables), "}"]
      : loops(tables)),
  ].join("\n");
}
