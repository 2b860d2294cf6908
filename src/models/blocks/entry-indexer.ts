/**
 * @file An indexer of compressed rows (DeepSeek-V4): small heads score each by a row of its own compressor, and attention behind it is over the best of
 * them.
 */
import type { HeadTurn } from "../../backends/ops.ts";
import { numRowsOf } from "../../backends/row-spans.ts";
import { type Block, norm, stackedMatrix } from "./block.ts";
import { CHOSEN_TOKENS } from "./chosen-tokens.ts";
import { QUERY_LATENT } from "./latent-attention.ts";
import { type RowCacheShape, rowLayer, rowState, widenedRows } from "./row-cache.ts";

export interface EntryIndexerShape extends RowCacheShape {
  readonly hiddenSize: number;
  readonly queryRank: number;
  readonly tokensPerRow: number;
  readonly isIndex: true;
  /** Number of rows that are chosen. */
  readonly count: number;
  readonly normEps: number;
}

/** The scratch buffer of the rows that end in a step. */
export const INDEX_ROWS = "indexRows";

/** Leaves the latents of queries and the chosen rows in scratch buffers. prefix: of attention, e.g. `model.layers.0.attn.` */
export function entryIndexer(prefix: string, shape: EntryIndexerShape): Block {
  const { hiddenSize, queryRank, numHeads, headDim, ropeDim, tokensPerRow, count, normEps } = shape;
  const own = `${prefix}indexer.`;
  const widened = widenedRows(headDim);
  const wide = widened?.width ?? headDim;
  return {
    weights: {
      queryDown: stackedMatrix(hiddenSize, [[`${prefix}wq_a.weight`, queryRank]]),
      queryNorm: norm(`${prefix}q_norm.weight`, queryRank),
      query: stackedMatrix(queryRank, [[`${own}wq_b.weight`, numHeads * headDim]]),
      rowNorm: norm(`${own}compressor.norm.weight`, headDim),
      headWeights: stackedMatrix(hiddenSize, [[`${own}weights_proj.weight`, numHeads]]),
    },
    scratch: {
      ...{ [QUERY_LATENT]: queryRank, [CHOSEN_TOKENS]: count, [INDEX_ROWS]: headDim },
      ...{ indexQuery: numHeads * headDim, indexWeights: numHeads },
      ...(widened && { storedIndexQuery: numHeads * wide, storedIndexKey: wide }),
    },
    state: rowState(shape),
    needs: ["choosesTokens", "compressesTokens"],
    bind: ({ queryDown, queryNorm, query, rowNorm, headWeights }, bound) => {
      const layer = rowLayer(shape, 1 / Math.sqrt(headDim * numHeads), bound);
      const turn: HeadTurn = { rope: layer.rope, numHeads, headDim, first: headDim - ropeDim, isBack: false };
      const rowTurn: HeadTurn = { ...turn, numHeads: 1, tokensPerRow };
      return {
        dispose: () => layer.kv.dispose(),
        run: ({ ops, step, rows, scratch }, x) => {
          const [low, queries, ended] = [scratch(QUERY_LATENT), scratch("indexQuery"), scratch(INDEX_ROWS)];
          const factors = scratch("indexWeights");
          const numEnded = numRowsOf(step, tokensPerRow);
          ops.linear(x, queryDown!, null, rows, low, false);
          ops.rmsNorm(low, queryNorm!, normEps, rows, low);
          ops.linear(low, query!, null, rows, queries, false);
          ops.turnHeads(step, queries, turn);
          if (numEnded > 0) {
            ops.rmsNorm(ended, rowNorm!, normEps, numEnded, ended);
            ops.turnHeads(step, ended, rowTurn);
          }
          const [ownQueries, keys] = widened
            ? [scratch("storedIndexQuery"), scratch("storedIndexKey")]
            : [queries, ended];
          widened?.widen(ops, rows * numHeads, queries, ownQueries);
          if (numEnded > 0) widened?.widen(ops, numEnded, ended, keys);
          ops.linear(x, headWeights!, null, rows, factors, false);
          ops.appendLatent(step, layer, keys, ownQueries);
          ops.chooseTokens(step, layer, ownQueries, factors, { positions: scratch(CHOSEN_TOKENS), count, lists: 1 });
        },
      };
    },
  };
}
