/**
 * @file An indexer of tokens (DeepSeek-V3.2's sparse attention): small heads score every earlier token by one key of its own, and attention
 * behind it is over the best of them alone.
 *
 * Its keys are cached as those of latent attention are: the part without a position as a coded row, the rotary part beside it.
 */
import type { AttentionLayer, RowNorm } from "../../backends/ops.ts";
import { layerCache } from "../../cache/layer-cache.ts";
import { PreparedLayer } from "../../quant/prepared-layer.ts";
import type { RopeConfig } from "../rope.ts";
import { type Block, norm, stackedMatrix, type WeightSpecs } from "./block.ts";
import { CHOSEN_TOKENS } from "./chosen-tokens.ts";
import { NORM_EPS, QUERY_LATENT, queryLatentWeights } from "./latent-attention.ts";
import { headOrder, type RowOrder } from "./row-order.ts";

export interface TokenIndexerShape {
  readonly hiddenSize: number;
  /** Of the latents of queries, which attention reads too. */
  readonly queryRank: number;
  readonly hasBias: boolean;
  readonly numHeads: number;
  /** Coordinates of a head, and how many of them, the first ones, carry the position. */
  readonly headDim: number;
  readonly ropeDim: number;
  /** Whether rope turns neighbours instead of halves. */
  readonly isInterleaved: boolean;
  /** Number of tokens that are chosen. */
  readonly count: number;
  readonly rope: RopeConfig;
}

/** Of the norm of keys, a LayerNorm. */
const KEY_NORM_EPS = 1e-6;

/** Adds nothing to the stream: it leaves the chosen tokens and the latents of queries in scratch buffers. prefix: of attention, e.g. `model.layers.0.self_attn.` */
export function tokenIndexer(prefix: string, shape: TokenIndexerShape): Block {
  const { hiddenSize, queryRank, numHeads, headDim, ropeDim, count, rope } = shape;
  const own = `${prefix}indexer.`;
  const order = partsSwapped(shape);
  const plainDim = headDim - ropeDim;
  const weights: WeightSpecs = {
    ...queryLatentWeights(prefix, shape, 1),
    query: stackedMatrix(queryRank, [[`${own}wq_b.weight`, numHeads * headDim, order]]),
    key: stackedMatrix(hiddenSize, [[`${own}wk.weight`, headDim, order]]),
    keyNorm: norm(`${own}k_norm.weight`, headDim, order),
    keyNormBias: norm(`${own}k_norm.bias`, headDim, order),
    headWeights: stackedMatrix(hiddenSize, [[`${own}weights_proj.weight`, numHeads]]),
  };
  const cached = { numKvHeads: 1, headDim: plainDim, rotaryKeyDim: ropeDim };
  return {
    weights,
    scratch: {
      ...{ [QUERY_LATENT]: queryRank, [CHOSEN_TOKENS]: count },
      ...{ indexQuery: numHeads * headDim, indexKey: headDim, indexWeights: numHeads },
    },
    state: { kind: "kv", ...cached, slidingWindow: 0, isIndex: true },
    bind: (loaded, { stateIndex, ropeIndex, format }) => {
      const cache = layerCache(format, cached);
      const kv = new PreparedLayer(cache.format, cached);
      const layer: AttentionLayer = {
        index: stateIndex,
        numHeads,
        numKvHeads: 1,
        headDim: plainDim,
        valueDim: plainDim,
        rotaryKeyDim: ropeDim,
        cache,
        kv,
        slidingWindow: 0,
        scale: 1 / Math.sqrt(headDim * numHeads),
        valueScale: 1,
        softcap: 0,
        sinkLogits: null,
        rope: ropeIndex(rope, ropeDim),
        qNorm: null,
        kNorm: null,
        normEps: KEY_NORM_EPS,
      };
      const keyNorm: RowNorm = {
        ...{ kind: "layer", weight: loaded["keyNorm"]!, bias: loaded["keyNormBias"]! },
        ...{ eps: KEY_NORM_EPS, add: false },
      };
      return {
        dispose: () => kv.dispose(),
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

/** Brings the rotary part of each head, the first of its rows, behind the others, with halves where rope turns neighbours. */
export function partsSwapped({
  headDim,
  ropeDim,
  isInterleaved,
}: Pick<TokenIndexerShape, "headDim" | "ropeDim" | "isInterleaved">): RowOrder {
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
