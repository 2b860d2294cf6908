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
  type PlaneSpec,
  type Region,
  type RegionSpec,
  type SideRegions,
} from "./page-regions.ts";

export { PAGE_TOKENS, type Plane, RESIDUAL_PAGE_TOKENS, type Region } from "./page-regions.ts";

export interface SideLayout extends SideRegions {
  readonly side: SideFormat;
}

export interface RotaryLayout extends SideLayout {
  /** Coordinates of a part. */
  readonly dim: number;
}

export interface PageLayout extends PageRegions {
  readonly k: SideLayout;
  readonly v: SideLayout;
  /**
   * Of latent attention (latent-layout.ts): the rotary key parts, floats that are stored apart from the rows of keys, which are those of
   * values too. Null where keys and values have rows of their own.
   */
  readonly rotaryKey: RotaryLayout | null;
  /** Whether tokens of a side are stored when the page is full, all at once (`SideCodec.storePage`). */
  readonly isStoredWhole: boolean;
  readonly numBytes: number;
}

/** Whether vectors of a side are rotated before they are stored. */
export function isRotated(side: SideFormat, format: Pick<LayerKvFormat, "rotation">): boolean {
  return format.rotation !== "none" && codecOf(side).isRotated(side);
}

const align16 = (n: number): number => (n + 15) & ~15;

/** Places the arrays of a page one after the other. */
export class RegionPlacer {
  readonly #pageTokens: number;
  readonly #numKvHeads: number;
  /** Bytes of what has been placed. */
  end = 0;

  constructor(pageTokens: number, numKvHeads: number) {
    this.#pageTokens = pageTokens;
    this.#numKvHeads = numKvHeads;
  }

  plane(spec: PlaneSpec): Plane {
    return { width: spec.width, ...this.region(spec) };
  }

  region({ name, rowBytes, headBytes = rowBytes * this.#pageTokens }: RegionSpec): Region {
    const offset = this.end;
    this.end = align16(offset + headBytes * this.#numKvHeads);
    return { name, offset, headStride: headBytes, rowBytes };
  }
}

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
  const placer = new RegionPlacer(pageTokens, numKvHeads);
  const specs = {
    k: codecOf(k).regionsOf(k, { side: "k", headDim }),
    v: codecOf(v).regionsOf(v, { side: "v", headDim: valueDim }),
  };
  const planes = (side: "k" | "v"): Plane[] => specs[side].planes.map((spec) => placer.plane(spec));
  const scales = (side: "k" | "v"): Region[] => specs[side].scales.map((spec) => placer.region(spec));
  const [kPlanes, vPlanes] = [planes("k"), planes("v")];
  const [kScales, vScales] = [scales("k"), scales("v")];
  return {
    pageTokens,
    headDim,
    valueDim,
    numKvHeads,
    k: { side: k, planes: kPlanes, scales: kScales },
    v: { side: v, planes: vPlanes, scales: vScales },
    rotaryKey: null,
    isStoredWhole: [k, v].some((side) => codecOf(side).storePage !== undefined),
    numBytes: placer.end,
  };
}

/** Stored bits a number of K or V: scales, sketch and alignment counted, 16-bit copies not. */
export function bitsPerValue(layout: PageLayout): number {
  return (8 * layout.numBytes) / (layout.pageTokens * valuesOfToken(layout));
}

/** Numbers that a token has in a layer: those of keys and values of every KV head, or those of its latent row and rotary part. */
export function valuesOfToken({ numKvHeads, headDim, valueDim, rotaryKey }: PageLayout): number {
  return rotaryKey ? headDim + rotaryKey.dim : numKvHeads * (headDim + valueDim);
}
