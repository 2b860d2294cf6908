/**
 * @file An indexer of blocks of tokens (MiniMax M3): one head for each KV head scores every earlier token by one key of its own, and the KV head's
 * attention is over the blocks of those that score best.
 *
 * Its keys are cached as those of latent attention are: the part without a position as a coded row, the rotary part beside it.
 */
import type { AttentionLayer, RowNorm, TokenBlocks } from "../../backends/ops.ts";
import { layerCache } from "../../cache/layer-cache.ts";
import { PreparedLayer } from "../../quant/prepared-layer.ts";
import type { RopeConfig } from "../rope.ts";
import { type Block, norm, stackedMatrix, type WeightSpecs, withOffset } from "./block.ts";
import { CHOSEN_TOKENS } from "./chosen-tokens.ts";
import { partsSwapped } from "./token-indexer.ts";

export interface BlockIndexerShape {
  readonly hiddenSize: number;
  /** As many as KV heads. */
  readonly numHeads: number;
  /** Coordinates of a head, and how many of them, the first ones, carry the position. */
  readonly headDim: number;
  readonly ropeDim: number;
  readonly blocks: TokenBlocks;
  readonly rope: RopeConfig;
  readonly normEps: number;
  /** What is added to the stored weights of norms. */
  readonly normOffset: number;
}

/** Adds nothing to the stream: it leaves the chosen tokens in a scratch buffer. prefix: of attention, e.g. `model.layers.0.self_attn.` */
export function blockIndexer(prefix: string, shape: BlockIndexerShape): Block {
  const { hiddenSize, numHeads, headDim, ropeDim, blocks, rope, normEps, normOffset } = shape;
  const own = `${prefix}indexer.`;
  const order = partsSwapped({ headDim, ropeDim, isInterleaved: false });
  const plainDim = headDim - ropeDim;
  const count = blocks.count * blocks.size;
  const weights: WeightSpecs = {
    query: stackedMatrix(hiddenSize, [[`${own}q_proj.weight`, numHeads * headDim, order]]),
    key: stackedMatrix(hiddenSize, [[`${own}k_proj.weight`, headDim, order]]),
    queryNorm: withOffset(norm(`${own}q_norm.weight`, headDim, order), normOffset),
    keyNorm: withOffset(norm(`${own}k_norm.weight`, headDim, order), normOffset),
  };
  const cached = { numKvHeads: 1, headDim: plainDim, rotaryKeyDim: ropeDim };
  return {
    weights,
    scratch: { [CHOSEN_TOKENS]: numHeads * count, indexQuery: numHeads * headDim, indexKey: headDim },
    state: { kind: "kv", ...cached, slidingWindow: 0, isIndex: true },
    bind: ({ query, key, queryNorm, keyNorm }, { stateIndex, ropeIndex, format }) => {
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
        scale: 1,
        valueScale: 1,
        softcap: 0,
        sinkLogits: null,
        rope: ropeIndex(rope, ropeDim),
        qNorm: null,
        kNorm: null,
        normEps,
      };
      const headNorm = (weight: typeof queryNorm): RowNorm => ({
        ...{ kind: "rms", weight: weight!, bias: null },
        ...{ eps: normEps, add: false },
      });
      const [ofQueries, ofKeys] = [headNorm(queryNorm), headNorm(keyNorm)];
      return {
        dispose: () => kv.dispose(),
        run: ({ ops, step, rows, scratch }, x) => {
          const [queries, keys] = [scratch("indexQuery"), scratch("indexKey")];
          ops.linear(x, query!, null, rows, queries, false);
          ops.norm(queries, ofQueries, rows * numHeads, queries);
          ops.linear(x, key!, null, rows, keys, false);
          ops.norm(keys, ofKeys, rows, keys);
          ops.appendLatent(step, layer, keys, queries);
          ops.chooseTokens(step, layer, queries, blocks, {
            positions: scratch(CHOSEN_TOKENS),
            ...{ count, lists: numHeads },
          });
        },
      };
    },
  };
}
