/** @file The interface of a KV codec: how a side is parsed, named, laid out, stored, read, planned and judged. */
import type { PageRegions, SideRegionSpecs } from "../page-regions.ts";
import type { ScaleRule } from "../rules.ts";
import type { SideModifier, SideSpec, SideSyntax } from "./side-spec.ts";

/** One side of a layer's format. `kind` names the codec, and so decides which other fields the side has. */
export interface AnySide {
  readonly kind: string;
}

/** Reads and writes the rows of one head's vectors in a page, as specified in docs/formats/kv-page.md. */
export interface StoredRows {
  /**
   * Does nothing in a codec that stores whole pages.
   * x: [headDim], prepared (row-codec.ts) · feedback: of the head's calibration, if the codec uses it
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
  /** Reads the stored vector in the space it was prepared into. out: [headDim] */
  read(page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number, out: Float32Array): void;
}

/** Which parts of a calibration a side uses (kv-transform.ts). */
export interface Shaping {
  readonly transform: boolean;
  readonly feedback: boolean;
}

/** The options of our recipe; a codec leaves out those that it does not have. */
export interface Recipe {
  readonly scale: ScaleRule;
  readonly search?: boolean;
  readonly transform?: boolean;
  readonly feedback?: boolean;
  /** Only for codes of two bits. */
  readonly trellis?: boolean;
  /** Whether one of the bits is a sketch of the codes' residual. */
  readonly hasSketch: boolean;
}

export interface RegionShape {
  readonly side: "k" | "v";
  /** Coordinates of a vector of this side, here and below. */
  readonly headDim: number;
}

/** S: the type of its sides */
export interface SideCodec<S extends AnySide> {
  readonly kind: S["kind"];
  /** What it adds to `--kv`; absent when another codec's types lead to it. */
  readonly syntax?: SideSyntax;
  /** Modifiers that change sides of its kind, or turn other sides into such. */
  readonly modifiers?: readonly SideModifier[];
  /** The side that a spec means; null when another codec has to make it. */
  sideOf(spec: SideSpec): S | null;
  /** The type of what is stored, as tables show it: f16, tq4. */
  typeOf(side: S): string;
  /** The name of the side in messages and labels. Sides of equal name store equal bytes. */
  nameOf(side: S): string;

  /** Whether it stores plain numbers, so that 16-bit copies beside them would be useless. */
  readonly isFloat: boolean;
  /** Bits of one number's code, with those of a sketch, without scales. */
  bitsOf(side: S): number;
  /** Whether vectors are rotated first, unless the format says `rotation=none`. */
  isRotated(side: S): boolean;
  /** The largest magnitude that it can store. */
  largestOf(side: S): number;
  regionsOf(side: S, shape: RegionShape): SideRegionSpecs;
  /** seed: for random numbers other than those of the rotation */
  rowsOf(side: S, headDim: number, seed: number): StoredRows;
  /**
   * What each code stands for in a unit vector, f32, [2^bits]; a row is made of them when it is coded anew (recoder.ts). Absent where a code alone
   * does not say it, as in a trellis.
   */
  centroidsOf?(side: S, headDim: number): Float32Array;
  /**
   * Present when the tokens of a page are stored together, once the page is full; until then they are read from their 16-bit
   * copies. rows: [pageTokens][headDim] of one head, prepared; overwritten
   */
  storePage?(of: S, rows: Float32Array, page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number): void;

  /** Which parts of a calibration it uses; absent or null: for keys the mean and the balance, for values nothing. */
  shapingOf?(side: S): Shaping | null;
  /** What it needs of a calibration file of its own, with how to make one, for the message where none is named; absent or null: nothing. */
  calibrationOf?(side: S): string | null;
  /** Absent for a baseline, which has none of the options. */
  recipeOf?(side: S): Recipe | null;
  /** Expected ‖x − x̂‖² / ‖x‖² of rotated vectors; with a sketch, that of their inner products. Absent when unknown. */
  distortionOf?(side: S, headDim: number): number | null;
}
