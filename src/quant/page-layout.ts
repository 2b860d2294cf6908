/**
 * @file Byte layout of one page: `pageTokens` tokens of one layer, every KV head, K and V.
 *
 * Structure of arrays. Code planes come first (K, then V), scale arrays after them, each 16-byte aligned; inside a
 * region the order is [head][row][bytes of the row]. A code of b bits is cut into planes of 8, 4, 2 and 1 bits, the
 * widest plane holding the most significant bits (5 = 4+1, 7 = 4+2+1), so that a kernel reads whole nibbles and never
 * straddles bytes. Inside a plane of width w, coordinate i takes bits [w·i, w·i+w) of the row, least significant first.
 * docs/formats/kv-page.md describes the same bytes in prose.
 */
import { codecOf } from "./codecs/registry.ts";
import { checkHeadDim } from "./head-dim.ts";
import type { LayerKvFormat, SideFormat } from "./kv-format.ts";
import {
  PAGE_TOKENS,
  type PageRegions,
  type Plane,
  type Region,
  type RegionSpec,
  type SideRegions,
} from "./page-regions.ts";

export { PAGE_TOKENS, type Plane, RESIDUAL_PAGE_TOKENS, type Region } from "./page-regions.ts";

export interface SideLayout extends SideRegions {
  readonly side: SideFormat;
}

export interface PageLayout extends PageRegions {
  readonly k: SideLayout;
  readonly v: SideLayout;
  /** Whether tokens of a side are stored when the page is full, all at once (`SideCodec.storePage`). */
  readonly isStoredWhole: boolean;
  readonly numBytes: number;
}

/** Whether vectors of a side are rotated before they are stored. */
export function isRotated(side: SideFormat, format: Pick<LayerKvFormat, "rotation">): boolean {
  return format.rotation !== "none" && codecOf(side).isRotated(side);
}

const align16 = (n: number): number => (n + 15) & ~15;

/**
 * Computes the layout of a page.
 *
 * headDim: of keys, see head-dim.ts · numKvHeads: at least 1 · pageTokens: multiple of 16 · valueDim: of values
 * @throws TurboQuantError unsupported — a head_dim without kernels
 */
export function pageLayout(
  k: SideFormat,
  v: SideFormat,
  headDim: number,
  numKvHeads: number,
  pageTokens: number = PAGE_TOKENS,
  valueDim: number = headDim,
): PageLayout {
  for (const dim of [headDim, valueDim]) checkHeadDim(dim, "page layout");
  let end = 0;
  const region = ({ name, rowBytes, headBytes = rowBytes * pageTokens }: RegionSpec): Region => {
    const offset = end;
    end = align16(end + headBytes * numKvHeads);
    return { name, offset, headStride: headBytes, rowBytes };
  };
  const specs = {
    k: codecOf(k).regionsOf(k, { side: "k", headDim }),
    v: codecOf(v).regionsOf(v, { side: "v", headDim: valueDim }),
  };
  const planes = (side: "k" | "v"): Plane[] =>
    specs[side].planes.map((plane) => ({ width: plane.width, ...region(plane) }));
  const [kPlanes, vPlanes] = [planes("k"), planes("v")];
  const [kScales, vScales] = [specs.k.scales.map(region), specs.v.scales.map(region)];
  return {
    pageTokens,
    headDim,
    valueDim,
    numKvHeads,
    k: { side: k, planes: kPlanes, scales: kScales },
    v: { side: v, planes: vPlanes, scales: vScales },
    isStoredWhole: [k, v].some((side) => codecOf(side).storePage !== undefined),
    numBytes: end,
  };
}

/** Stored bits a number of K or V: scales, sketch and alignment counted, 16-bit copies not. */
export function bitsPerValue(layout: PageLayout): number {
  return (8 * layout.numBytes) / (layout.pageTokens * valuesOfToken(layout));
}

/** Numbers that a token has in a layer: those of keys and values of every KV head. */
export function valuesOfToken({ numKvHeads, headDim, valueDim }: PageRegions): number {
  return numKvHeads * (headDim + valueDim);
}
