/**
 * @file An indexer of blocks of tokens (MiniMax M3): one head for each KV head scores every earlier token by one key of its own, and the KV head's
 * attention is over the blocks of those that score best.
 */
import type { RowNorm, TokenBlocks } from "../../backends/ops.ts";
import { type Block, norm, stackedMatrix, type WeightSpecs, withOffset } from "./block.ts";
import { CHOSEN_TOKENS } from "./chosen-tokens.ts";
import { type IndexKeyShape, indexKeyLayer, indexKeyState, partsSwapped } from "./index-keys.ts";

/** numHeads: as many as KV heads */
export interface BlockIndexerShape extends IndexKeyShape {
  readonly hiddenSize: number;
  readonly blocks: TokenBlocks;
  readonly normEps: number;
  /** What is added to the stored weights of norms. */
  readonly normOffset: number;
}

/** Adds nothing to the stream: it leaves the chosen tokens in a scratch buffer. prefix: of attention, e.g. `model.layers.0.self_attn.` */
export function blockIndexer(prefix: string, shape: BlockIndexerShape): Block {
  const { hiddenSize, numHeads, headDim, blocks, normEps, normOffset } = shape;
  const own = `${prefix}indexer.`;
  const order = partsSwapped(shape, false);
  const count = blocks.count * blocks.size;
  const weights: WeightSpecs = {
    query: stackedMatrix(hiddenSize, [[`${own}q_proj.weight`, numHeads * headDim, order]]),
    key: stackedMatrix(hiddenSize, [[`${own}k_proj.weight`, headDim, order]]),
    queryNorm: withOffset(norm(`${own}q_norm.weight`, headDim, order), normOffset),
    keyNorm: withOffset(norm(`${own}k_norm.weight`, headDim, order), normOffset),
  };
  return {
    weights,
    scratch: { [CHOSEN_TOKENS]: numHeads * count, indexQuery: numHeads * headDim, indexKey: headDim },
    state: indexKeyState(shape),
    needs: ["choosesTokens"],
    bind: ({ query, key, queryNorm, keyNorm }, bound) => {
      const layer = indexKeyLayer(shape, 1, bound);
      const headNorm = (weight: typeof queryNorm): RowNorm => ({
        ...{ kind: "rms", weight: weight!, bias: null },
        ...{ eps: normEps, add: false },
      });
      const [ofQueries, ofKeys] = [headNorm(queryNorm), headNorm(keyNorm)];
      return {
        indexKeys: layer,
        dispose: () => layer.kv.dispose(),
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
