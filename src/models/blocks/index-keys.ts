/**
 * @file Keys that an indexer scores tokens by. They are cached as those of latent attention are: the part without a position as a coded row, the
 * rotary part beside it.
 */
import type { AttentionLayer } from "../../backends/ops.ts";
import { layerCache } from "../../cache/layer-cache.ts";
import { PreparedLayer } from "../../quant/prepared-layer.ts";
import type { RopeConfig } from "../rope.ts";
import type { Block } from "./block.ts";
import { headOrder, type RowOrder } from "./row-order.ts";

export interface IndexKeyShape {
  readonly numHeads: number;
  /** Coordinates of a head, and how many of them, the first ones, carry the position. */
  readonly headDim: number;
  readonly ropeDim: number;
  readonly rope: RopeConfig;
  /** Coordinates that rope turns where some of `ropeDim` are zeros behind halves; absent: all. */
  readonly turnedDim?: number;
  /** Tokens that one key is of; absent: 1. */
  readonly tokensPerRow?: number;
}

/** The state of a block with such keys, one for each token. */
export const indexKeyState = ({
  headDim,
  ropeDim,
  tokensPerRow = 1,
}: Pick<IndexKeyShape, "headDim" | "ropeDim" | "tokensPerRow">) =>
  ({
    kind: "kv",
    ...cachedOf(headDim, ropeDim),
    slidingWindow: 0,
    isIndex: true,
    ...(tokensPerRow > 1 && { tokensPerRow }),
  }) as const satisfies Block["state"];

const cachedOf = (headDim: number, ropeDim: number) => ({
  numKvHeads: 1,
  headDim: headDim - ropeDim,
  rotaryKeyDim: ropeDim,
});

/** The layer for `Ops.appendLatent` and `Ops.chooseTokens`; its `kv` is to be disposed of. scale: of scores */
export function indexKeyLayer(
  { numHeads, headDim, ropeDim, rope, turnedDim = ropeDim, tokensPerRow = 1 }: IndexKeyShape,
  scale: number,
  { stateIndex, ropeIndex, format }: Parameters<Block["bind"]>[1],
): AttentionLayer {
  const cached = cachedOf(headDim, ropeDim);
  const cache = layerCache(format, cached);
  return {
    index: stateIndex,
    numHeads,
    ...cached,
    valueDim: cached.headDim,
    cache,
    kv: new PreparedLayer(cache.format, cached),
    slidingWindow: 0,
    scale,
    valueScale: 1,
    softcap: 0,
    sinkLogits: null,
    ...(tokensPerRow > 1 && { tokensPerRow }),
    rope: ropeIndex(rope, turnedDim, ropeDim),
    qNorm: null,
    kNorm: null,
    // There are no norms in the append: keys and queries come normed.
    normEps: 0,
  };
}

/** Brings the rotary part of each head, the first of its rows, behind the others, with halves where rope turns neighbours. */
export function partsSwapped(
  { headDim, ropeDim }: Pick<IndexKeyShape, "headDim" | "ropeDim">,
  isInterleaved: boolean,
): RowOrder {
  const turned = headOrder({ headDim: ropeDim, rotaryDim: ropeDim, isInterleaved }, 1);
  return {
    unit: headDim,
    place: (row) => {
      const within = row % headDim;
      const first = row - within;
      if (within >= ropeDim) return row - ropeDim;
      return first + headDim - ropeDim + (turned ? turned.place(within) : within);
    },
  };
}
