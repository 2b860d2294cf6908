/** @file Rows that are cached as keys and values at once, of the only KV head, with their positions in them. */
import type { AttentionLayer, Ops } from "../../backends/ops.ts";
import { layerCache } from "../../cache/layer-cache.ts";
import { storedDim } from "../../quant/head-dim.ts";
import { PreparedLayer } from "../../quant/prepared-layer.ts";
import type { RopeConfig } from "../rope.ts";
import type { Block, LayerContext } from "./block.ts";

export interface RowCacheShape {
  readonly numHeads: number;
  /** Coordinates of a row, the last ones of which rope turns. */
  readonly headDim: number;
  readonly ropeDim: number;
  readonly rope: RopeConfig;
  /** Tokens that a row stands for; absent: 1. */
  readonly tokensPerRow?: number;
  /** 0 or absent for all. */
  readonly slidingWindow?: number;
  /** Whether rows are keys of an indexer. */
  readonly isIndex?: true;
}

const cachedOf = ({ headDim, tokensPerRow = 1, slidingWindow = 0, isIndex }: RowCacheShape) => ({
  ...{ numKvHeads: 1, headDim: storedDim(headDim), slidingWindow },
  isOneRow: true as const,
  ...(tokensPerRow > 1 && { tokensPerRow }),
  ...(isIndex && { isIndex }),
});

export const rowState = (shape: RowCacheShape): NonNullable<Block["state"]> => ({ kind: "kv", ...cachedOf(shape) });

/** For `Ops.appendLatent` and `Ops.attend`; its `kv` is to be disposed of. scale: of scores */
export function rowLayer(
  shape: RowCacheShape,
  scale: number,
  { stateIndex, ropeIndex, format }: Pick<LayerContext, "stateIndex" | "ropeIndex" | "format">,
  sinkLogits: AttentionLayer["sinkLogits"] = null,
): AttentionLayer {
  const cached = cachedOf(shape);
  const cache = layerCache(format, cached);
  const { headDim, numKvHeads, slidingWindow, tokensPerRow } = cached;
  return {
    index: stateIndex,
    numHeads: shape.numHeads,
    ...{ numKvHeads, headDim, valueDim: headDim, rotaryKeyDim: 0, slidingWindow, cache },
    ...(tokensPerRow !== undefined && { tokensPerRow }),
    kv: new PreparedLayer(cache.format, cached),
    scale,
    valueScale: 1,
    softcap: 0,
    sinkLogits,
    rope: ropeIndex(shape.rope, shape.ropeDim),
    qNorm: null,
    kNorm: null,
    // There are no norms in the append: rows and queries come normed.
    normEps: 0,
  };
}

/** Rows and queries on their way to the cache and back, where widths of the cache have zeros behind the others. */
export interface WidenedRows {
  readonly width: number;
  /** count: of heads, all together */
  widen(ops: Ops, count: number, x: Parameters<Ops["resizeParts"]>[0], out: Parameters<Ops["resizeParts"]>[4]): void;
  narrow(ops: Ops, count: number, x: Parameters<Ops["resizeParts"]>[0], out: Parameters<Ops["resizeParts"]>[4]): void;
}

/** Null where rows are cached as wide as they are. */
export function widenedRows(headDim: number): WidenedRows | null {
  const width = storedDim(headDim);
  if (width === headDim) return null;
  const own = { first: 0, width: headDim, stride: headDim };
  const wide = { first: 0, width, stride: width };
  return {
    width,
    widen: (ops, count, x, out) => ops.resizeParts(x, own, 1, count, out, wide),
    narrow: (ops, count, x, out) => ops.resizeParts(x, wide, 1, count, out, own),
  };
}
