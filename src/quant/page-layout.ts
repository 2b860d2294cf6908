/**
 * @file Byte layout of one page: `pageTokens` tokens of one layer, every KV head, K and V.
 *
 * Structure of arrays. Code planes come first (K, then V), scale arrays after them, each 16-byte aligned; inside a
 * region the order is [head][row][bytes of the row]. A code of b bits is cut into planes of 8, 4, 2 and 1 bits, the
 * widest plane holding the most significant bits (5 = 4+1, 7 = 4+2+1), so that a kernel reads whole nibbles and never
 * straddles bytes. Inside a plane of width w, coordinate i takes bits [w·i, w·i+w) of the row, least significant first.
 * docs/formats/kv-page.md describes the same bytes in prose.
 */
import { checkHeadDim } from "./head-dim.ts";
import type { Bits, KvType, LayerKvFormat, SideFormat } from "./kv-format.ts";
import { kindOf } from "./side-kind.ts";

/** Tokens of a page of the main stream. One online-softmax tile. */
export const PAGE_TOKENS = 64;
/** Tokens of a page of the exact (16-bit) stream: small, because sinks and window retain whole pages. */
export const RESIDUAL_PAGE_TOKENS = 16;
/** Block length of q8_0 and q4_0r. */
export const BLOCK = 32;
/** Tokens of a key channel, or channels of a value, that share a scale and a zero in KIVI: a page of keys. */
export const KIVI_GROUP = PAGE_TOKENS;

/** One array of a page: row r of head h starts at `offset + h * headStride + r * rowBytes`. */
export interface Region {
  readonly offset: number;
  readonly headStride: number;
  readonly rowBytes: number;
}

export interface Plane extends Region {
  /** Bits of the index in this plane: 8, 4, 2 or 1 (16 and 32 for raw f16/f32 rows). */
  readonly width: number;
}

export interface SideLayout {
  readonly type: KvType;
  /** Code planes, most significant first; one plane of width 16 or 32 for f16/f32. */
  readonly planes: readonly Plane[];
  /**
   * f16 scales: one a row for tqN, `ceil(headDim/32)` a row for q8_0/q4_0r; absent for f16/f32. KIVI: scales, then zeros; of a
   * value a row, of keys one of each a channel for all rows of the page (`rowBytes` 0).
   */
  readonly scales: Region | null;
  /** TurboQuant_prod only: sign plane of the sketch and the f16 residual norm of each row. */
  readonly sketch: { readonly signs: Plane; readonly norms: Region } | null;
}

export interface PageLayout {
  readonly pageTokens: number;
  readonly headDim: number;
  readonly numKvHeads: number;
  readonly k: SideLayout;
  readonly v: SideLayout;
  readonly numBytes: number;
}

/** Index bits of a type, or 0 when it stores floats. */
export function codeBits(type: KvType): number {
  if (kindOf(type) === "float") return 0;
  if (type === "q8_0") return 8;
  if (type === "q4_0r") return 4;
  return Number(type.replace(/^\D+/, "")) as Bits;
}

/** Widths of the planes of a `bits`-wide code, most significant first. */
export function planeWidths(bits: number): number[] {
  return [8, 4, 2, 1].filter((w) => bits & w);
}

/** Whether a side is stored rotated. */
export function isRotated(side: SideFormat, format: LayerKvFormat): boolean {
  return format.rotation !== "none" && (kindOf(side.type) === "scalar" || side.type === "q4_0r");
}

const align16 = (n: number): number => (n + 15) & ~15;

/**
 * Lays out a page.
 *
 * headDim: see head-dim.ts · numKvHeads ≥ 1 · pageTokens: multiple of 16
 * @throws TurboQuantError unsupported — a head_dim that no kernel has
 */
export function pageLayout(
  k: SideFormat,
  v: SideFormat,
  headDim: number,
  numKvHeads: number,
  pageTokens: number = PAGE_TOKENS,
): PageLayout {
  checkHeadDim(headDim, "page layout");
  let end = 0;
  const region = (rowBytes: number): Region => {
    const r = { offset: end, headStride: rowBytes * pageTokens, rowBytes };
    end = align16(end + r.headStride * numKvHeads);
    return r;
  };
  const plane = (width: number): Plane => ({ width, ...region((headDim * width) / 8) });
  const codes = (side: SideFormat): { planes: Plane[]; signs: Plane | null } => {
    if (kindOf(side.type) === "float") {
      return { planes: [plane(side.type === "f32" ? 32 : 16)], signs: null };
    }
    return {
      planes: planeWidths(codeBits(side.type)).map(plane),
      signs: side.qjl ? { width: 1, ...region((side.projections ?? headDim) / 8) } : null,
    };
  };
  const scales = (side: SideFormat, which: "k" | "v"): Region | null => {
    if (kindOf(side.type) === "float") return null;
    if (kindOf(side.type) === "block") return region(2 * Math.ceil(headDim / BLOCK));
    if (kindOf(side.type) === "channel") {
      if (which === "v") return region(4 * Math.ceil(headDim / KIVI_GROUP));
      const r = { offset: end, headStride: 4 * headDim, rowBytes: 0 };
      end = align16(end + r.headStride * numKvHeads);
      return r;
    }
    return region(2);
  };
  const kc = codes(k);
  const vc = codes(v);
  const sideLayout = (side: SideFormat, which: "k" | "v", c: { planes: Plane[]; signs: Plane | null }): SideLayout => ({
    type: side.type,
    planes: c.planes,
    scales: scales(side, which),
    sketch: c.signs ? { signs: c.signs, norms: region(2) } : null,
  });
  const kl = sideLayout(k, "k", kc);
  const vl = sideLayout(v, "v", vc);
  return { pageTokens, headDim, numKvHeads, k: kl, v: vl, numBytes: end };
}

/** Stored bits a number of K or V: scales, sketch and alignment counted, the exact stream not. */
export function bitsPerValue(layout: PageLayout): number {
  return (8 * layout.numBytes) / (2 * layout.pageTokens * layout.numKvHeads * layout.headDim);
}
