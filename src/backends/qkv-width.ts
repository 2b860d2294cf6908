/** @file Numbers that attention of a layer is given for a token. */
import type { AttentionLayer } from "./ops.ts";

/** Values in a row of `Ops.appendKv`: queries, then keys and values where they are the layer's own. */
export function qkvWidth({ numHeads, numKvHeads, headDim, valueDim, isShared }: AttentionLayer): number {
  return numHeads * headDim + (isShared ? 0 : numKvHeads * (headDim + valueDim));
}
