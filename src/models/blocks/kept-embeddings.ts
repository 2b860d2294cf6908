/** @file Embeddings that blocks of later layers read beside the residual stream. */
import type { StreamMix } from "../../backends/ops.ts";
import type { Prologue } from "./block.ts";

/** The buffer that they stay in. */
export const EMBEDDINGS = "embeddings";

const COPIED: StreamMix = {
  ...{ from: { first: 0, count: 1, of: 1 }, to: { first: 0, count: 1, of: 1 } },
  ...{ first: 0, stride: 0, factor: 1, add: false },
};

export const keptEmbeddings = (hiddenSize: number): Prologue => ({
  weights: {},
  scratch: {},
  output: { name: EMBEDDINGS, width: hiddenSize },
  bind:
    () =>
    ({ ops, rows, scratch }, hidden) =>
      ops.mixStreams(hidden, COPIED, null, rows, hiddenSize, scratch(EMBEDDINGS)),
});
