/**
 * @file An indexer of runs of tokens (Qwen 4): small heads score each run by the mean of its tokens' keys, and attention behind it is over the tokens of the
 * best runs, and over those that are no whole run yet.
 */

import { compressionLength } from "../../backends/compress-rows.ts";
import type { Compression, RowNorm, TokenRuns } from "../../backends/ops.ts";
import { numRowsOf } from "../../backends/row-spans.ts";
import { type Block, norm, type StackPart, stackedMatrix, withOffset } from "./block.ts";
import { CHOSEN_TOKENS } from "./chosen-tokens.ts";
import { type IndexKeyShape, indexKeyLayer, indexKeyState, partsSwapped } from "./index-keys.ts";
import { storedLatent } from "./stored-heads.ts";

export interface MeanIndexerShape extends Omit<IndexKeyShape, "turnedDim" | "tokensPerRow"> {
  readonly hiddenSize: number;
  readonly runs: TokenRuns;
  readonly normEps: number;
  /** What is added to the stored weights of norms. */
  readonly normOffset: number;
}

/** Tokens of a list: those of whole runs, and those behind them. */
export const mostChosen = ({ size, count }: TokenRuns): number => count * size + size - 1;

/** The scratch buffer of the means that end in a step, one behind the other. */
const MEANS = "indexMeans";

/** Rows of the tensor that queries and the key are of: queries first, of which the parts of heads change places. */
function rowsOf(prefix: string, shape: MeanIndexerShape, which: "query" | "key"): StackPart {
  const { numHeads, headDim } = shape;
  const order = partsSwapped(shape, false);
  const firstKey = numHeads * headDim;
  const numRows = which === "query" ? firstKey : headDim;
  return [
    `${prefix}indexer.index_qk_proj.weight`,
    firstKey + headDim,
    {
      unit: headDim,
      numRows,
      place: (row) => {
        if (row < firstKey !== (which === "query")) return -1;
        return order.place(row) - (which === "query" ? 0 : firstKey);
      },
    },
  ];
}

/** Leaves the means that end in a step in a scratch buffer. prefix: of attention, e.g. `model.layers.0.self_attn.` */
export function keyMeans(prefix: string, shape: MeanIndexerShape): Block {
  const { hiddenSize, headDim, runs } = shape;
  const of = { tokensPerRow: runs.size, width: headDim, series: 1, isGated: false, stride: headDim } as const;
  return {
    weights: { key: stackedMatrix(hiddenSize, [rowsOf(prefix, shape, "key")]) },
    scratch: { indexKey: headDim, [MEANS]: headDim },
    state: { kind: "recurrent", numBytes: 4 * compressionLength(of) },
    needs: ["compressesTokens"],
    bind: ({ key }, { stateIndex }) => {
      const compression: Compression = { ...of, state: { index: stateIndex, offset: 0 }, gateBias: null };
      return {
        run: ({ ops, step, rows, scratch }, x) => {
          const keys = scratch("indexKey");
          ops.linear(x, key!, null, rows, keys, false);
          ops.compress(step, compression, keys, scratch(MEANS));
        },
      };
    },
  };
}

/** Behind `keyMeans`; adds nothing to the stream: it leaves the chosen tokens in a scratch buffer. prefix: as there */
export function meanIndexer(prefix: string, shape: MeanIndexerShape): Block {
  const { hiddenSize, numHeads, headDim, ropeDim, runs, normEps, normOffset } = shape;
  const own = `${prefix}indexer.`;
  const order = partsSwapped(shape, false);
  const normOf = (name: string) => withOffset(norm(`${own}${name}.weight`, headDim, order), normOffset);
  const count = mostChosen(runs);
  const widened = storedLatent(headDim - ropeDim, ropeDim);
  const stored: IndexKeyShape = {
    ...{ numHeads, rope: shape.rope, tokensPerRow: runs.size },
    ...(widened
      ? { headDim: widened.kvRank + widened.ropeDim, ropeDim: widened.ropeDim, turnedDim: ropeDim }
      : { headDim, ropeDim }),
  };
  return {
    weights: {
      query: stackedMatrix(hiddenSize, [rowsOf(prefix, shape, "query")]),
      queryNorm: normOf("q_layernorm"),
      keyNorm: normOf("k_layernorm"),
    },
    scratch: {
      ...{ [CHOSEN_TOKENS]: count, [MEANS]: headDim, indexQuery: numHeads * headDim },
      ...(widened && { storedIndexQuery: numHeads * stored.headDim, storedIndexKey: stored.headDim }),
    },
    state: indexKeyState(stored),
    needs: ["choosesTokens", "compressesTokens"],
    bind: ({ query, queryNorm, keyNorm }, bound) => {
      const layer = indexKeyLayer(stored, 1 / Math.sqrt(headDim), bound);
      const headNorm = (weight: typeof queryNorm): RowNorm => ({
        ...{ kind: "rms", weight: weight!, bias: null },
        ...{ eps: normEps, add: false },
      });
      const [ofQueries, ofKeys] = [headNorm(queryNorm), headNorm(keyNorm)];
      return {
        dispose: () => layer.kv.dispose(),
        run: ({ ops, step, rows, scratch }, x) => {
          const [queries, means] = [scratch("indexQuery"), scratch(MEANS)];
          const numMeans = numRowsOf(step, runs.size);
          ops.linear(x, query!, null, rows, queries, false);
          ops.norm(queries, ofQueries, rows * numHeads, queries);
          if (numMeans > 0) ops.norm(means, ofKeys, numMeans, means);
          const [ownQueries, keys] = widened
            ? [scratch("storedIndexQuery"), scratch("storedIndexKey")]
            : [queries, means];
          widened?.widen(ops, rows * numHeads, queries, ownQueries);
          if (numMeans > 0) widened?.widen(ops, numMeans, means, keys);
          ops.appendLatent(step, layer, keys, ownQueries);
          ops.chooseTokens(step, layer, ownQueries, runs, { positions: scratch(CHOSEN_TOKENS), count, lists: 1 });
        },
      };
    },
  };
}
