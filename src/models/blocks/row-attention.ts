/**
 * @file Attention of many heads to one row a token that is key and value at once (DeepSeek-V4): to those of a window, and in some layers to compressed rows of
 * all tokens besides. Values have their positions in them, which what attention returns is turned back by; groups of heads have an output projection each.
 */
import type { Buf, Gates, HeadProduct, HeadTurn } from "../../backends/ops.ts";
import { numRowsOf } from "../../backends/row-spans.ts";
import {
  type Block,
  type BlockStep,
  bias,
  norm,
  plainNorm,
  stackedMatrix,
  type WeightSpecs,
  type Weights,
} from "./block.ts";
import { CHOSEN_TOKENS } from "./chosen-tokens.ts";
import { QUERY_LATENT } from "./latent-attention.ts";
import { type RowCacheShape, rowLayer, rowState, widenedRows } from "./row-cache.ts";
import { plain, ROW } from "./stream-sums.ts";

export interface RowAttentionShape extends Omit<RowCacheShape, "tokensPerRow" | "isIndex"> {
  readonly hiddenSize: number;
  readonly queryRank: number;
  readonly slidingWindow: number;
  /** Groups of heads, and values that the heads of one are projected to. */
  readonly groups: number;
  readonly outputRank: number;
  readonly normEps: number;
}

/** Compressed rows beside the window. */
export interface EntryShape {
  readonly tokensPerRow: number;
  /** How many of them an indexer has chosen, in `CHOSEN_TOKENS`; null for all. */
  readonly chosen: number | null;
}

/** The scratch buffer of the compressed rows that end in a step. */
export const ENTRY_ROWS = "entryRows";
/** Buffers of what attention to a window leaves for that to compressed rows: queries, results, and sums of weights. */
const [QUERY, ATTENDED, LOG_SUMS] = ["rowQuery", "rowAttended", "rowLogSums"];

function outputWeights(prefix: string, shape: RowAttentionShape): WeightSpecs {
  const { hiddenSize, numHeads, headDim, groups, outputRank } = shape;
  return {
    outputDown: stackedMatrix((numHeads * headDim) / groups, [[`${prefix}wo_a.weight`, groups * outputRank]]),
    output: stackedMatrix(groups * outputRank, [[`${prefix}wo_b.weight`, hiddenSize]]),
  };
}

const turnOf = ({ numHeads, headDim, ropeDim }: RowAttentionShape, rope: number): HeadTurn => ({
  ...{ rope, numHeads, headDim, first: headDim - ropeDim, isBack: false },
});

const outputScratch = ({ numHeads, headDim, groups, outputRank }: RowAttentionShape) => ({
  headOutput: numHeads * headDim,
  groupOutput: groups * outputRank,
});

/** What is made of attention's results. rope: its index */
function outputOf(shape: RowAttentionShape, { outputDown, output }: Weights, rope: number) {
  const { numHeads, headDim, groups, outputRank } = shape;
  const widened = widenedRows(headDim);
  const back: HeadTurn = { ...turnOf(shape, rope), isBack: true };
  const byGroup: HeadProduct = {
    ...{ numHeads: groups, headRows: outputRank, first: 0, count: outputRank },
    ...{ isTransposed: false, inputWidth: (numHeads * headDim) / groups },
  };
  return ({ ops, step, rows, scratch }: BlockStep, attended: Buf, out: Buf, add: boolean): void => {
    const own = widened ? scratch("headOutput") : attended;
    widened?.narrow(ops, rows * numHeads, attended, own);
    ops.turnHeads(step, own, back);
    const grouped = scratch("groupOutput");
    ops.multiplyHeads(own, outputDown!, byGroup, rows, grouped);
    ops.linear(grouped, output!, null, rows, out, add);
  };
}

/**
 * Attention to the rows of a window. hasQueryLatent: whether an indexer has left the latents of queries · isWhole: whether there are no compressed rows
 * besides, so that what it gives is the output · prefix: e.g. `model.layers.0.attn.`
 */
export function windowAttention(
  prefix: string,
  shape: RowAttentionShape,
  { hasQueryLatent, isWhole }: { readonly hasQueryLatent: boolean; readonly isWhole: boolean },
): Block {
  const { hiddenSize, queryRank, numHeads, headDim, normEps } = shape;
  const widened = widenedRows(headDim);
  const wide = widened?.width ?? headDim;
  return {
    weights: {
      ...(!hasQueryLatent && {
        queryDown: stackedMatrix(hiddenSize, [[`${prefix}wq_a.weight`, queryRank]]),
        queryNorm: norm(`${prefix}q_norm.weight`, queryRank),
      }),
      query: stackedMatrix(queryRank, [[`${prefix}wq_b.weight`, numHeads * headDim]]),
      headNorm: plainNorm(headDim),
      row: stackedMatrix(hiddenSize, [[`${prefix}wkv.weight`, headDim]]),
      rowNorm: norm(`${prefix}norm.weight`, headDim),
      sinkLogits: bias([[`${prefix}attn_sink`, numHeads]]),
      ...(isWhole && outputWeights(prefix, shape)),
    },
    scratch: {
      ...{ [QUERY_LATENT]: queryRank, headQuery: numHeads * headDim, windowRow: headDim },
      ...{ [QUERY]: numHeads * wide, [ATTENDED]: numHeads * wide },
      ...(widened && { storedRow: wide }),
      ...(isWhole ? outputScratch(shape) : { [LOG_SUMS]: numHeads }),
    },
    state: rowState(shape),
    // A backend that has `Ops.turnHeads` says so by this ability.
    needs: ["compressesTokens"],
    bind: ({ queryDown, queryNorm, query, headNorm, row, rowNorm, sinkLogits, ...ofOutput }, bound) => {
      const layer = rowLayer(shape, 1 / Math.sqrt(headDim), bound, sinkLogits!);
      const turn = turnOf(shape, layer.rope);
      const finish = isWhole ? outputOf(shape, ofOutput, layer.rope) : null;
      return {
        attention: layer,
        dispose: () => layer.kv.dispose(),
        run: (at, x, out, add) => {
          const { ops, step, rows, scratch } = at;
          const [low, heads, own] = [scratch(QUERY_LATENT), scratch("headQuery"), scratch("windowRow")];
          const [queries, attended] = [scratch(QUERY), scratch(ATTENDED)];
          if (queryDown) {
            ops.linear(x, queryDown, null, rows, low, false);
            ops.rmsNorm(low, queryNorm!, normEps, rows, low);
          }
          const projected = widened ? heads : queries;
          ops.linear(low, query!, null, rows, projected, false);
          ops.rmsNorm(projected, headNorm!, normEps, rows * numHeads, projected);
          ops.turnHeads(step, projected, turn);
          widened?.widen(ops, rows * numHeads, projected, queries);
          ops.linear(x, row!, null, rows, own, false);
          ops.rmsNorm(own, rowNorm!, normEps, rows, own);
          ops.turnHeads(step, own, { ...turn, numHeads: 1 });
          const stored = widened ? scratch("storedRow") : own;
          widened?.widen(ops, rows, own, stored);
          ops.appendLatent(step, layer, stored, queries);
          ops.attend(step, layer, queries, attended, undefined, finish ? undefined : scratch(LOG_SUMS));
          finish?.(at, attended, out, add);
        },
      };
    },
  };
}

/** Behind `windowAttention`: attention of the same queries to compressed rows, and the output of both. prefix: as there */
export function entryAttention(prefix: string, shape: RowAttentionShape, { tokensPerRow, chosen }: EntryShape): Block {
  const { numHeads, headDim, normEps } = shape;
  const cached: RowCacheShape = { ...shape, slidingWindow: 0, tokensPerRow };
  const widened = widenedRows(headDim);
  const wide = widened?.width ?? headDim;
  const width = numHeads * wide;
  return {
    weights: { rowNorm: norm(`${prefix}compressor.norm.weight`, headDim), ...outputWeights(prefix, shape) },
    scratch: {
      ...{ [ENTRY_ROWS]: headDim, [QUERY]: width, [ATTENDED]: width, [LOG_SUMS]: numHeads },
      ...{ entryAttended: width, entryLogSums: numHeads },
      ...(widened && { storedRow: wide }),
      ...(chosen !== null && { [CHOSEN_TOKENS]: chosen }),
      ...outputScratch(shape),
    },
    state: rowState(cached),
    needs: ["compressesTokens"],
    bind: ({ rowNorm, ...ofOutput }, bound) => {
      const layer = rowLayer(cached, 1 / Math.sqrt(headDim), bound);
      // Queries have been prepared for the window, whose rows are coded alike.
      const stored = { ...layer, numHeads: 0 };
      const turn: HeadTurn = { ...turnOf(shape, layer.rope), numHeads: 1, tokensPerRow };
      const finish = outputOf(shape, ofOutput, layer.rope);
      const byHead: Gates = { first: 0, stride: numHeads, repeat: wide, activation: "sigmoid" };
      const [less, more] = [plain(ROW, ROW, { factor: -1, add: true }), plain(ROW, ROW, { add: true })];
      return {
        attention: layer,
        dispose: () => layer.kv.dispose(),
        run: (at, _, out, add) => {
          const { ops, step, rows, scratch } = at;
          const [queries, attended, sums] = [scratch(QUERY), scratch(ATTENDED), scratch(LOG_SUMS)];
          const [others, otherSums] = [scratch("entryAttended"), scratch("entryLogSums")];
          const numEnded = numRowsOf(step, tokensPerRow);
          if (numEnded > 0) {
            const ended = scratch(ENTRY_ROWS);
            ops.rmsNorm(ended, rowNorm!, normEps, numEnded, ended);
            ops.turnHeads(step, ended, turn);
            const own = widened ? scratch("storedRow") : ended;
            widened?.widen(ops, numEnded, ended, own);
            ops.appendLatent(step, stored, own, queries);
          }
          const list = chosen === null ? undefined : { positions: scratch(CHOSEN_TOKENS), count: chosen, lists: 1 };
          ops.attend(step, layer, queries, others, list, otherSums);
          // The share of the window's result is the sigmoid of what its logarithm is above the other's.
          ops.mixStreams(otherSums, less, null, rows, numHeads, sums);
          ops.mixStreams(others, less, null, rows, width, attended);
          ops.gate(attended, sums, byHead, rows, width);
          ops.mixStreams(others, more, null, rows, width, attended);
          finish(at, attended, out, add);
        },
      };
    },
  };
}
