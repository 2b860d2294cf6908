/** @file What a sequence keeps for one block of a layer. */

export interface LayerShape {
  readonly numKvHeads: number;
  /** Coordinates of a key. */
  readonly headDim: number;
  /** Coordinates of a value; absent: as many as a key has. */
  readonly valueDim?: number | undefined;
  /**
   * Of latent attention: coordinates of the rotary key part beside a row that is key and value at once, of the only KV head. 0 or
   * absent: keys and values have rows of their own.
   */
  readonly rotaryKeyDim?: number | undefined;
  /** Whether a row is key and value at once, of the only KV head, with nothing beside it: `rotaryKeyDim` is 0. Absent: by `rotaryKeyDim`. */
  readonly isOneRow?: true;
  /** Positions a token attends to, its own included; 0 or absent for all. Pages out of reach are released. */
  readonly slidingWindow?: number;
  /** Whether the window is one of chunks: a token attends to those of its own chunk of this many positions. */
  readonly isChunked?: boolean | undefined;
  /** Tokens that have one row together, which is there when the last of them is; absent: 1. There is no sliding window then. */
  readonly tokensPerRow?: number;
}

/** Keys and values of every token, as pages of codes. */
export interface KvShape extends LayerShape {
  readonly kind: "kv";
  readonly slidingWindow: number;
  /** Whether they are keys of an indexer, by which tokens are chosen and which attention does not read. */
  readonly isIndex?: true;
}

/** A state of fixed size that every token replaces, as in linear attention, state space models and short convolutions. */
export interface RecurrentShape {
  readonly kind: "recurrent";
  readonly numBytes: number;
  /** Whether rows of a prompt are computed together, so that they leave a state that differs in its last bits from that of single rows. */
  readonly isChunked?: true;
  /** The delta rule that replaces it, for which kernels may need memory of their own; absent: another operation. */
  readonly delta?: { readonly numHeads: number; readonly keyDim: number; readonly isByChannel: boolean };
}

/** Keys and values of another layer, by its number in the model. They take no bytes of this one. */
export interface SharedShape {
  readonly kind: "shared";
  readonly layer: number;
}

/** What has memory of its own. */
export type StateShape = KvShape | RecurrentShape;

/** Whether a state is one of keys of an indexer, whose format is its own (`KvSpec.forLayer`). */
export const isIndexState = (shape: StateShape | SharedShape | null): boolean =>
  shape?.kind === "kv" && shape.isIndex === true;
