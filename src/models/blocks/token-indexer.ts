/**
 * @file An indexer of tokens (DeepSeek-V3.2's sparse attention): small heads score every earlier token by one key of its own, and attention
 * behind it is over the best of them alone.
 */
import type { RowNorm } from "../../backends/ops.ts";
import { type Block, norm, stackedMatrix, type WeightSpecs } from "./block.ts";
import { CHOSEN_TOKENS } from "./chosen-tokens.ts";
import { type IndexKeyShape, indexKeyLayer, indexKeyState, partsSwapped } from "./index-keys.ts";
import { NORM_EPS, QUERY_LATENT, queryLatentWeights } from "./latent-attention.ts";

export interface TokenIndexerShape extends IndexKeyShape {
  readonly hiddenSize: number;
  /** Of the latents of queries, which attention reads too. */
  readonly queryRank: number;
  readonly hasBias: boolean;
  /** Whether rope turns neighbours instead of halves. */
  readonly isInterleaved: boolean;
  /** Number of tokens that are chosen. */
  readonly count: number;
}

/** Of the norm of keys, a LayerNorm. */
const KEY_NORM_EPS = 1e-6;

/** Adds nothing to the stream: it leaves the chosen tokens and the latents of queries in scratch buffers. prefix: of attention, e.g. `model.layers.0.self_attn.` */
export function tokenIndexer(prefix: string, shape: TokenIndexerShape): Block {
  const { hiddenSize, queryRank, numHeads, headDim, count } = shape;
  const own = `${prefix}indexer.`;
  const order = partsSwapped(shape, shape.isInterleaved);
  const weights: WeightSpecs = {
    ...queryLatentWeights(prefix, shape, 1),
    query: stackedMatrix(queryRank, [[`${own}wq_b.weight`, numHeads * headDim, order]]),
    key: stackedMatrix(hiddenSize, [[`${own}wk.weight`, headDim, order]]),
    keyNorm: norm(`${own}k_norm.weight`, headDim, order),
    keyNormBias: norm(`${own}k_norm.bias`, headDim, order),
    headWeights: stackedMatrix(hiddenSize, [[`${own}weights_proj.weight`, numHeads]]),
  };
  return {
    weights,
    scratch: {
      ...{ [QUERY_LATENT]: queryRank, [CHOSEN_TOKENS]: count },
      ...{ indexQuery: numHeads * headDim, indexKey: headDim, indexWeights: numHeads },
    },
    state: indexKeyState(shape),
    needs: ["choosesTokens"],
    bind: (loaded, bound) => {
      const layer = indexKeyLayer(shape, 1 / Math.sqrt(headDim * numHeads), bound);
      const keyNorm: RowNorm = {
        ...{ kind: "layer", weight: loaded["keyNorm"]!, bias: loaded["keyNormBias"]! },
        ...{ eps: KEY_NORM_EPS, add: false },
      };
      return {
        indexKeys: layer,
        dispose: () => layer.kv.dispose(),
        run: ({ ops, step, rows, scratch }, x) => {
          const [low, queries, keys] = [scratch(QUERY_LATENT), scratch("indexQuery"), scratch("indexKey")];
          const factors = scratch("indexWeights");
          ops.linear(x, loaded["queryDown"]!, loaded["queryDownBias"] ?? null, rows, low, false);
          ops.rmsNorm(low, loaded["queryNorm"]!, NORM_EPS, rows, low);
          ops.linear(low, loaded["query"]!, null, rows, queries, false);
          ops.linear(x, loaded["key"]!, null, rows, keys, false);
          ops.norm(keys, keyNorm, rows, keys);
          ops.linear(x, loaded["headWeights"]!, null, rows, factors, false);
          ops.appendLatent(step, layer, keys, queries);
          ops.chooseTokens(step, layer, queries, factors, { positions: scratch(CHOSEN_TOKENS), count, lists: 1 });
        },
      };
    },
  };
}
