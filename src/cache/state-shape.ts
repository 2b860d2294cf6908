/** @file What a sequence keeps for one block of a layer. */

/** Keys and values of every token, as pages of codes. */
export interface KvShape {
  readonly kind: "kv";
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Positions a token attends to, its own included; 0 for all. */
  readonly slidingWindow: number;
}

export type StateShape = KvShape;
