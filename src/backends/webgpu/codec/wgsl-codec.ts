/** @file What the WebGPU backend needs of a KV codec: WGSL that reads its rows where they lie and writes them. */
import type { SideFormat } from "../../../quant/codecs/registry.ts";
import type { AnySide } from "../../../quant/codecs/side-codec.ts";
import type { SideRegions } from "../../../quant/page-regions.ts";
import type { RowPlace } from "./place-text.ts";
import type { TableUse, UnitWord } from "./table-text.ts";

/** The values that codes are looked up in. */
export interface WgslBook<S extends AnySide> {
  /** In vectors of norm √headDim. */
  centroids(side: S, headDim: number): Float32Array;
  /** What `store` finds behind the centroids in its book. */
  boundaries(side: S, headDim: number): ArrayLike<number>;
  /** Words of the table in workgroup memory. half: whether its words are pairs of f16, where there are few enough */
  entries(side: S, half: boolean): number;
  /** The word of entry `e`; the side's centroids begin at `at`. */
  entryText(side: S, half: boolean, at: number): string;
}

/** The row that `store` writes. */
export interface StoreTarget<S extends AnySide> {
  /** Which of `store_k` and `store_v` it is, or of the two for sinks and window of 8 bits, which lie in `residual_pages`. */
  readonly name: "k" | "v" | "window_k" | "window_v";
  readonly side: S;
  readonly headDim: number;
  readonly layout: SideRegions;
  /** Expression of entry `index` of its centroids and the boundaries behind them, where it has such. */
  readonly book: (index: string) => string;
  /** Codes are found by error feedback with the factors at K_FEEDBACK_AT or V_FEEDBACK_AT. */
  readonly feedback: boolean;
  /** Lanes of a subgroup, which may exchange values then; 0 where they are not to. */
  readonly subgroup: number;
}

export interface WgslCodec<S extends AnySide = SideFormat> {
  /**
   * Whether rows are codes of a bounded value and a factor a row. Then whatever bytes lie in a page read as finite numbers,
   * also those that nobody wrote, and products may be made in f16. Raw floats and blocks may be anywhere in their range.
   */
  readonly isBounded: boolean;
  /** Codes stand for a value together with the code before them, as in a trellis of two bits: readers load that one, too. */
  readonly isChained?: true;
  readonly book?: WgslBook<S>;
  /**
   * Expressions of the four pairs of a unit (eight neighbouring coordinates), from the words of its planes; f16 where
   * `use.half`. Absent where planes are 16 bits or wider: they are floats as they lie.
   */
  pairs?(side: S, use: TableUse, words: readonly UnitWord[]): string[];
  /** Expression of what all pairs of a row are multiplied by; absent: nothing. words: the array that a page is read from */
  rowFactor?(
    layout: { readonly scales: SideRegions["scales"]; readonly headDim: number },
    place: RowPlace,
    words: string,
  ): string;
  /** The same of one unit, where each has its own. */
  blockFactor?(layout: SideRegions, place: RowPlace, unit: string, words: string): string;
  /** Words of `codes` that `store` needs for a coordinate; absent: one. */
  codeWords?(side: S): number;
  /**
   * `fn store_NAME(page: u32, head: u32, slot: u32, l: u32)`, part of append.wgsl: stores the vector `xs` as a row, called by
   * all THREADS invocations `l` of a workgroup, whose arrays `ys`, `sums` and `codes` it may use, and with
   * `feedback` the `candidateWords` of `candidates`.
   */
  store(target: StoreTarget<S>): string;
}
