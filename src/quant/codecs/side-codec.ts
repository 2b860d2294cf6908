/** @file What a KV codec says of itself, once, for everybody who parses, names, lays out, stores, reads, plans or judges a side. */
import type { PageRegions, SideRegionSpecs } from "../page-regions.ts";
import type { ScaleRule } from "../rules.ts";
import type { SideSpec, SideSyntax } from "./side-spec.ts";

/** One side of a layer's format: the kind says whose it is, and with that which other fields it has. */
export interface AnySide {
  readonly kind: string;
}

/** The rows of one head's vectors in a page: the executable form of docs/formats/kv-page.md. */
export interface StoredRows {
  /**
   * x: [headDim], prepared (row-codec.ts) · feedback: of the head's calibration, where the codec is shaped by one. A codec
   * that stores whole pages does nothing.
   */
  write(
    x: Float32Array,
    page: Uint8Array,
    layout: PageRegions,
    side: "k" | "v",
    head: number,
    row: number,
    feedback: Float32Array | null,
  ): void;
  /** The vector as it is stored, in the space it was prepared into. out: [headDim] */
  read(page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number, out: Float32Array): void;
}

/** What a side makes of a calibration (kv-transform.ts). */
export interface Shaping {
  readonly transform: boolean;
  readonly feedback: boolean;
}

/** The levers of our recipe; a codec leaves out those that it does not have. */
export interface Recipe {
  readonly scale: ScaleRule;
  readonly search?: boolean;
  readonly transform?: boolean;
  readonly feedback?: boolean;
  /** Of codes of two bits. */
  readonly trellis?: boolean;
  /** One of the bits is a sketch of what the codes leave. */
  readonly hasSketch: boolean;
}

export interface RegionShape {
  readonly side: "k" | "v";
  readonly headDim: number;
}

/** S: what its sides look like */
export interface SideCodec<S extends AnySide> {
  readonly kind: S["kind"];
  /** What it adds to `--kv`; absent where another codec's types lead to it. */
  readonly syntax?: SideSyntax;
  /** The side that a spec means, or null where that is another codec's. */
  sideOf(spec: SideSpec): S | null;
  /** As tables call the type of what is stored: f16, tq4. */
  typeOf(side: S): string;
  /** As messages and labels call it. Stored bytes of sides of one name mean the same. */
  nameOf(side: S): string;

  /** Whether it stores the numbers themselves, so that 16-bit copies beside them would keep nothing. */
  readonly isFloat: boolean;
  /** Bits of a number's code, those of a sketch counted, scales not. */
  bitsOf(side: S): number;
  /** Whether vectors are rotated before, unless the format says `rotation=none`. */
  isRotated(side: S): boolean;
  /** Largest magnitude that it can hold. */
  largestOf(side: S): number;
  regionsOf(side: S, shape: RegionShape): SideRegionSpecs;
  /** seed: of what is random beside the rotation */
  rowsOf(side: S, headDim: number, seed: number): StoredRows;
  /**
   * Present where tokens of a page are stored all at once, when the last of them is appended; before that they are read from
   * their 16-bit copies. rows: [pageTokens][headDim] of one head, prepared; changed
   */
  storePage?(of: S, rows: Float32Array, page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number): void;

  /** What it makes of a calibration; absent or null: keys keep its mean and balance, values nothing. */
  shapingOf?(side: S): Shaping | null;
  /** Absent: it has none of the levers, and is a baseline to compare with. */
  recipeOf?(side: S): Recipe | null;
  /** ‖x − x̂‖² / ‖x‖² that is expected of rotated vectors, or that of their inner products with a sketch; absent where nothing is known. */
  distortionOf?(side: S, headDim: number): number | null;
}
