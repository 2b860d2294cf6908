/** @file What a snapshot says of the keys and values of a layer. */

/** The entry of a layer's keys and values in a snapshot's header. */
export interface KvDescription {
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Present when values have another number of coordinates than keys. */
  readonly valueDim?: number;
  /** Present where rows are keys and values at once: the width of the rotary part beside them. */
  readonly rotaryKeyDim?: number;
  /** Bytes of one page of each stream; 0 for 16-bit pages when the layer has none. */
  readonly mainPageBytes: number;
  readonly exactPageBytes: number;
  /** The first position of the residual window's copies (`KvState.residualStart`). */
  readonly exactStart: number;
  /** Indices of the 16-bit pages in the file, ascending. */
  readonly exactPages: readonly number[];
  /** Present when the window stands alone: the number of first tokens that have codes. */
  readonly codedTokens?: number;
  /** Present when the format has tiers: for each coarser one the number of first pages in it or behind it, and the bytes of its pages. */
  readonly tierPages?: readonly number[];
  readonly tierPageBytes?: readonly number[];
  /** Present when the layer has a sliding window; then only main pages within its reach are in the file. */
  readonly slidingWindow?: number;
}
