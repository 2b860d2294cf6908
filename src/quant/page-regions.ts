/** @file The arrays that a page consists of. page-layout.ts lays them out; codecs say which they need, and read and write them. */

/** Tokens in a page of the main stream: one tile of online softmax. */
export const PAGE_TOKENS = 64;
/** Tokens of a page of 16-bit copies: small, because sinks and window retain whole pages. */
export const RESIDUAL_PAGE_TOKENS = 16;

/** An array that a codec needs in a page, once for each KV head. */
export interface RegionSpec {
  /** What it holds, as reports and messages call it. */
  readonly name: string;
  readonly rowBytes: number;
  /** Bytes of a head, where all rows of a page share them; `rowBytes` is 0 then. */
  readonly headBytes?: number;
}

export interface PlaneSpec extends RegionSpec {
  /** Bits of each index in this plane: 8, 4, 2 or 1 (16 and 32 for raw f16/f32 rows). */
  readonly width: number;
}

/** What one side needs. Codes of both sides come first in a page, scales after them. */
export interface SideRegionSpecs {
  /** Code planes, most significant first. */
  readonly planes: readonly PlaneSpec[];
  /** Arrays of f16. */
  readonly scales: readonly RegionSpec[];
}

/** One array in a page: row r of head h begins at `offset + h * headStride + r * rowBytes`. */
export interface Region {
  readonly name: string;
  readonly offset: number;
  readonly headStride: number;
  /** 0 where all rows of a head share `headStride` bytes. */
  readonly rowBytes: number;
}

export interface Plane extends Region {
  /** As in `PlaneSpec`. */
  readonly width: number;
}

export interface SideRegions {
  readonly planes: readonly Plane[];
  readonly scales: readonly Region[];
}

export interface PageRegions {
  readonly pageTokens: number;
  /** Coordinates of a key. */
  readonly headDim: number;
  /** Coordinates of a value. */
  readonly valueDim: number;
  readonly numKvHeads: number;
  readonly k: SideRegions;
  readonly v: SideRegions;
}

/** Coordinates of a vector of one side. */
export const dimOf = (
  { headDim, valueDim }: { readonly headDim: number; readonly valueDim: number },
  side: "k" | "v",
): number => (side === "k" ? headDim : valueDim);

/** Where a row begins. */
export const rowAt = (region: Region, head: number, row: number): number =>
  region.offset + head * region.headStride + row * region.rowBytes;
